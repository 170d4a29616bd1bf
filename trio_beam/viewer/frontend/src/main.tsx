import { render } from "preact";
import { App } from "./app";
import { embedded } from "./data";

const { about, search } = embedded();
render(<App about={about} read={search} />, document.getElementById("app")!);
