// Bundles src/ into ../static/, or into the folder that is named: the two files that a page consists of. The
// same sources give the same bytes.
import { build } from "esbuild";
import { readFile, writeFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const given = process.argv[2];
const folder = given ? pathToFileURL(`${given}/`) : new URL("../static/", import.meta.url);
await build({
  absWorkingDir: new URL(".", import.meta.url).pathname,
  entryPoints: [{ in: "src/main.tsx", out: "viewer" }, { in: "src/style.css", out: "viewer" }],
  outdir: folder.pathname,
  bundle: true,
  minify: true,
  format: "iife",
  target: ["es2022"],
  charset: "ascii",
  legalComments: "none",
  jsx: "automatic",
  jsxImportSource: "preact",
});
for (const name of ["viewer.js", "viewer.css"]) {
  const file = new URL(name, folder);
  const text = (await readFile(file, "utf8")).trimEnd();
  if (/<\/(script|style)|<!--/i.test(text)) throw new Error(`${name} would end its element`);
  await writeFile(file, text);
}
