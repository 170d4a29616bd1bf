"""`scripts/record_captures.py` against the real server; what it writes is read as the recordings are."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.dialects.plain import check_same, choices_of
from tests.dialects.replay import CAPTURES, COMPLETIONS, ask, load
from trio_beam import local_api_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.dialects.replay import Capture

SCRIPT = Path(__file__).parents[2] / "scripts" / "record_captures.py"
#: Each names a file; those with a completion are read through the dialects.
CASES = [
    *("models", "version", "completions_logprobs", "completions_n2", "completions_utf8_mt5"),
    *("completions_token_ids_prompt", "completions_n_gt_parallel", "chat_logprobs", "chat_prefill"),
    *("stream_completions_n2", "stream_utf8", "stream_chat_n2_prefill", "native_completion"),
    *("native_n_cmpl2_fields", "native_stream", "native_stream_n_cmpl2", "native_stream_utf8"),
    *("tokenize_pieces", "apply_template", "err_malformed", "err_ctx"),
]
#: A stream that does not show the parts of a character.
HIDDEN = "native_stream_utf8"


def run(*words: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **changes},
    )


def key_of(base_url: str) -> str:
    return local_api_key(base_url) or ""


@pytest.fixture(scope="module")
def recorded(embedded_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Capture]:
    out = tmp_path_factory.mktemp("captures")
    only = [word for case in CASES for word in ("--only", case)]
    named = ["--api-key-env", "OWN_KEY"]
    done = run(
        embedded_url,
        "--out",
        str(out),
        "--name",
        "real",
        *named,
        *only,
        OWN_KEY=key_of(embedded_url),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert f"[{len(CASES)}/{len(CASES)}] err_ctx: 400" in done.stderr
    files = {path.stem.removeprefix("real__"): load(path) for path in out.glob("real__*.json")}
    assert set(files) == set(CASES)
    return files


def test_completions_are_read_by_the_dialects(recorded: dict[str, Capture]) -> None:
    read = 0
    for case, one in recorded.items():
        if one.path not in COMPLETIONS or one.status != 200 or case == HIDDEN:
            continue
        answer = ask(one).value
        expected = choices_of(one)
        echo = one.beam().text if case == "chat_prefill" else ""
        for found, plain in zip(answer.continuations, expected, strict=True):
            text = plain.text.removeprefix(echo)
            check_same(found, plain._replace(text=text))
            assert found.data.decode() == text.rstrip("\ufffd")
        read += 1
    assert read == 13


def test_a_recorded_stream_is_asked_again_for_what_it_hides(recorded: dict[str, Capture]) -> None:
    stream, whole = recorded[HIDDEN], recorded["native_completion"]
    assert len(ask(stream, stream.body, whole.body).requests) == 2


def test_refusals_keep_their_status(recorded: dict[str, Capture]) -> None:
    statuses = {case: one.status for case, one in recorded.items() if one.status != 200}
    assert statuses == {
        "completions_n_gt_parallel": 400,
        "err_ctx": 400,
        "err_malformed": 400,
        "version": 404,
    }
    assert recorded["err_malformed"].asked == '{"model": "x", "prompt": '


def test_a_long_prompt_is_abbreviated(recorded: dict[str, Capture]) -> None:
    prompt = recorded["err_ctx"].asked["prompt"]
    assert prompt == f"{'word ' * 8}…[{(1024 + 1000) * 5} chars, repeated]"


def test_the_form_is_that_of_the_recordings(recorded: dict[str, Capture]) -> None:
    ours = CAPTURES / "xllamacpp__stream_utf8.json"
    stream = recorded["stream_utf8"]
    lines = stream.body.decode().split("\n")[:-1]
    assert [line[:6] for line in lines] == ["data: ", ""] * (len(lines) // 2)
    assert set(stream.headers) <= set(json.loads(ours.read_text())["response"]["headers"])


# -- no real server


def test_no_server() -> None:
    done = run("http://127.0.0.1:1/v1")
    assert done.returncode == 1
    assert done.stderr.startswith("cannot reach http://127.0.0.1:1/v1: ")
    assert done.stderr.count("\n") == 1


@contextlib.contextmanager
def parrot(silent: str = "", asked: threading.Event | None = None) -> Iterator[str]:
    """A server that sends the key back, everywhere; to one path it never answers, but says it was asked."""
    gone = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            if self.path == silent:
                if asked is not None:
                    asked.set()
                gone.wait(60)
            key = self.headers.get("authorization", "").removeprefix("Bearer ")
            body = json.dumps({"data": [{"id": "m"}], "error": f"wrong key {key}"}).encode()
            self.send_response(200)
            for name in ("Set-Cookie", "X-Api-Key", "Authorization"):
                self.send_header(name, key)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the name is the library's

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        gone.set()
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_key_is_nowhere_in_the_files(tmp_path: Path) -> None:
    """Also where the server sends it back."""
    key = "sk-very-secret"
    with parrot() as url:
        words = (url, "--out", str(tmp_path), "--only", "models", "--only", "err_*")
        done = run(*words, "--api-key-env", "THE_KEY", THE_KEY=key)
    assert done.returncode == 0, done.stderr
    texts = [path.read_text() for path in tmp_path.iterdir()]
    assert len(texts) > 5
    assert all("wrong key ***" in text for text in texts)
    assert not any(key in text or "cookie" in text.lower() for text in texts)
    assert key not in done.stderr


def test_ctrl_c_keeps_what_there_is(tmp_path: Path) -> None:
    asked = threading.Event()
    with parrot(silent="/v1/completions", asked=asked) as url:
        words = [sys.executable, str(SCRIPT), url, "--out", str(tmp_path), "--name", "x"]
        child = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        assert child.stderr is not None
        assert asked.wait(60)  # the first completion, which has no answer
        child.send_signal(signal.SIGINT)
        rest = child.stderr.read()
        assert child.wait(20) == 130
        child.stderr.close()
    assert "stopped" in rest
    assert "Traceback" not in rest
    assert {path.name for path in tmp_path.iterdir()} == {
        "x__models.json",
        "x__props.json",
        "x__version.json",
    }


def test_a_key_that_is_not_set() -> None:
    done = run("http://127.0.0.1:1/v1", "--api-key-env", "NO_SUCH_KEY_IS_SET")
    assert done.returncode == 1
    assert "NO_SUCH_KEY_IS_SET" in done.stderr
