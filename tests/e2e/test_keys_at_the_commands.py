"""What the commands write, to the terminal and to files, holds no key that a server repeats."""

from __future__ import annotations

import base64
import html
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.http.spellings import FEW, KEY

ROOT = Path(__file__).parents[2]
SPELLINGS = {
    "plain": KEY,
    "url": quote(KEY, safe=""),
    "JSON": json.dumps("".join(f"\\u{ord(one):04x}" for one in KEY)),
    "HTML": html.escape(KEY.replace("/", "&#47;")),
    "base64": base64.b64encode(b"Bearer " + KEY.encode()).decode(),
    "two lines": KEY[:16] + "\n" + KEY[16:],
}
WORDS = " ".join(SPELLINGS.values())


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._answer()

    def _answer(self) -> None:
        body = json.dumps({"error": {"message": "x" * 400 + WORDS}}).encode()
        self.send_response(400, "no " + KEY)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the parent's name
        """Nothing."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def run(*words: str, cwd: Path) -> str:
    """All that a command has written."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    done = subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=cwd,
        env=kept | {"OPENAI_API_KEY": KEY, "PYTHONPATH": str(ROOT)},
    )
    return done.stdout + done.stderr


def check(text: str) -> None:
    for name, spelling in SPELLINGS.items():
        size = FEW + 1 if name in ("plain", "two lines") else 2 * FEW
        lines = spelling.splitlines()
        for line in lines:
            for at in range(len(line) - size + 1):
                piece = line[at : at + size]
                assert piece not in text or piece in base64.b64encode(b"Bearer ").decode(), name


@pytest.mark.parametrize("more", [[], ["--json"], ["--debug"]])
def test_generate(url: str, more: list[str], tmp_path: Path) -> None:
    common = ["--base-url", url, "--model", "toy", "--dialect", "openai", *more, "hi"]
    text = run("-m", "trio_beam", "generate", *common, cwd=tmp_path)
    assert "***" in text
    check(text)


def test_probe(url: str, tmp_path: Path) -> None:
    check(run("-m", "trio_beam", "probe", url, "--model", "toy", cwd=tmp_path))


def test_a_benchmark_and_its_files(url: str, tmp_path: Path) -> None:
    problems = tmp_path / "problems.jsonl"
    problems.write_text('{"id": "q", "prompt": "say a", "answer": "a"}\n')
    words = [f"model.base_url={url}", "model.name=toy", "model.dialect=openai"]
    words += [f"benchmark.name=jsonl:{problems}", f"output.dir={tmp_path / 'run'}"]
    check(run(str(ROOT / "scripts" / "run_benchmark.py"), *words, cwd=tmp_path))
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path != problems]
    assert files
    for path in files:
        check(path.read_text("utf-8", "replace"))
