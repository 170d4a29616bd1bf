"""Text on its way out: closed pipes, full devices, every encoding, and what terminals obey."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.socket_server import threaded_server
from trio_beam.command.output import guarded, say, write, write_json
from trio_beam.core.printable import printable

TEXT = "café ☕ 漢字 🦜 \x1b]0;title\x07 \x9b31m \u202eright to left \udcff"


class Stream(io.TextIOWrapper):
    """A standard stream in memory."""

    def __init__(self, encoding: str = "utf-8", terminal: bool = False) -> None:
        self._bytes = io.BytesIO()
        super().__init__(self._bytes, encoding=encoding)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    @property
    def data(self) -> bytes:
        return self._bytes.getvalue()


@contextmanager
def streams(out: Any, err: Any) -> Iterator[None]:
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def written(text: str, encoding: str = "utf-8", *, terminal: bool = False) -> bytes:
    out = Stream(encoding, terminal)
    with streams(out, Stream()):
        assert guarded(lambda: write(text)) is None
    return out.data


@pytest.mark.parametrize(
    "encoding", ["ascii", "latin-1", "cp1252", "utf-8", "gb18030", "utf-16-le"]
)
@given(text=st.text())
def test_every_encoding_prints_every_text(encoding: str, text: str) -> None:
    data = written(text, encoding)
    assert data == f"{text}\n".replace("\n", os.linesep).encode(encoding, "backslashreplace")


def test_a_terminal_obeys_nothing_of_others() -> None:
    assert written("a\tb\nc\x1b[2J\r\x07\x9b\u202e") != written("", terminal=True)
    shown = written("a\tb\nc\x1b[2J\rd\x07\x9b\u202e", terminal=True).decode()
    assert shown == "a\tb\nc\\x1b[2J\\rd\\x07\\x9b\\u202e\n"


def test_a_pipe_gets_the_text_as_it_is() -> None:
    assert written("c\x1b[2J\rd").decode() == "c\x1b[2J\rd\n"


@given(st.text())
def test_a_message_is_one_line(text: str) -> None:
    err = Stream("ascii")
    with streams(Stream(), err):
        guarded(lambda: say(text))
    assert err.data.endswith(b"\n")
    assert err.data.count(b"\n") == 1
    assert not set(err.data[:-1]) - set(range(32, 127))


@given(st.text())
def test_what_is_printable_stays(text: str) -> None:
    assert printable(printable(text)) == printable(text)
    plain = "".join(one for one in text if one.isprintable())
    assert printable(plain) == plain


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize("terminal", [False, True])
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_json_is_json_in_every_encoding(encoding: str, terminal: bool, text: str) -> None:
    out = Stream(encoding, terminal)
    with streams(out, Stream()):
        guarded(lambda: write_json({"text": text, "list": [1, {}]}))
    assert json.loads(out.data.decode(encoding)) == {"text": text, "list": [1, {}]}
    assert not set(out.data.decode(encoding)) & set("\x1b\x9b\x7f\u202e\r")


def test_without_standard_output_nothing_is_started() -> None:
    err = Stream()
    with streams(None, err):
        assert guarded(lambda: pytest.fail("it was started")) == 1
    assert err.data == b"Error: standard output is closed\n"


def test_messages_are_not_worth_a_result() -> None:
    class Broken(Stream):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    def work() -> int:
        say("progress")
        write("result")
        return 0

    for err in (Broken(), None):
        out = Stream()
        with streams(out, err):
            assert guarded(work) == 0
        assert out.data == b"result\n"


COMMANDS = {
    "generate": ["generate", "--base-url", "URL", "--model", "m", "--dialect", "openai", "hi"],
    "help": ["--help"],
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with threaded_server() as (base_url, _):
        yield base_url


def command(
    name: str, url: str, redirected: str = "", **changes: str
) -> subprocess.CompletedProcess[str]:
    """A command in a shell that redirects its streams."""
    words = [word.replace("URL", url) for word in COMMANDS[name]]
    return subprocess.run(
        ["sh", "-c", f'"$0" -m trio_beam "$@" {redirected}', sys.executable, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **changes},
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_a_pipe_without_a_reader_ends_it_quietly(name: str, url: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = [word.replace("URL", url) for word in COMMANDS[name]]
    done = subprocess.run(
        [sys.executable, "-m", "trio_beam", *words, *(["--quiet"] if "URL" in words else [])],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert done.returncode == 141
    assert "Traceback" not in done.stderr
    assert "rror" not in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_device_is_one_line(name: str, url: str) -> None:
    done = command(name, url, ">/dev/full")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "Error: cannot write to standard output: No space left on device"
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_a_closed_standard_output_is_said_before_anything_is_paid_for(name: str, url: str) -> None:
    done = command(name, url, ">&-")
    assert (done.returncode, done.stderr) == (1, "Error: standard output is closed\n")


@pytest.mark.parametrize("redirected", ["2>&-", "2>/dev/full"])
def test_a_broken_standard_error_costs_no_result(redirected: str, url: str) -> None:
    done = command("generate", url, redirected)
    assert done.returncode == 0
    assert done.stdout.strip()


def test_a_prompt_from_a_closed_standard_input(url: str) -> None:
    words = ["generate", "--base-url", url, "--model", "m", "--dialect", "openai", "-"]
    shell = ["sh", "-c", '"$0" -m trio_beam "$@" <&-', sys.executable, *words]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "standard input, which is closed" in done.stderr


def test_a_prompt_from_what_cannot_be_read(url: str) -> None:
    words = ["generate", "--base-url", url, "--model", "m", "--dialect", "openai", "-"]
    shell = ["sh", "-c", '"$0" -m trio_beam "$@" 0>/dev/null', sys.executable, *words]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot read standard input: Bad file descriptor" in done.stderr


def test_the_benchmark_runner_has_the_same_way_out() -> None:
    script = Path(__file__).parents[2] / "scripts" / "run_benchmark.py"
    shell = ["sh", "-c", '"$0" "$@" --show-config beam_search.enabled=true >/dev/full']
    done = subprocess.run(
        [*shell, sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        1,
        "Error: cannot write to standard output: No space left on device\n",
    )
