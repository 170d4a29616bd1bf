"""What ``trio-beam serve`` refuses before anything starts."""

from __future__ import annotations

import socket

import pytest
from click.testing import CliRunner

from trio_beam.cli.main import cli


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--host", "0.0.0.0"], "give clients a key (--api-key-env), or say --insecure"),
        (["--api-key-env", "NO_SUCH_VARIABLE"], "the environment has no NO_SUCH_VARIABLE"),
        (["--default-strategy", "nix"], "--default-strategy must be one of beam-4x4"),
        (["--max-width", "0"], "--max-width must be a whole number from 1 up"),
        (
            ["--max-width", "1"],
            "--default-strategy (beam_search): this gateway allows beams up to 1",
        ),
        (["--model", "m"], "--model goes with --base-url"),
        (["--local", "--base-url", "http://a"], "--base-url names a server"),
        (["--price-input", "1"], "--price-output must be given too"),
        (["--port", "70000", "--base-url", "http://127.0.0.1:1/v1"], "--port must be"),
    ],
)
def test_arguments_that_are_refused(words: list[str], message: str) -> None:
    done = CliRunner().invoke(cli, ["serve", *words], env={"OPENAI_BASE_URL": None})
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        words = ["serve", "--base-url", "http://127.0.0.1:1/v1", "--port", port]
        done = CliRunner().invoke(cli, words)
    assert done.exit_code == 2
    assert f"Error: cannot listen at 127.0.0.1 port {port}" in " ".join(done.output.split())


def test_keys_are_read_and_not_shown() -> None:
    words = ["serve", "--api-key-env", "KEYS", "--base-url", "http://127.0.0.1:1/v1"]
    done = CliRunner().invoke(cli, words, env={"KEYS": "long-enough-key, sh0rt"})
    assert done.exit_code == 2
    assert "a key has eight or more characters" in done.output
    assert "sh0rt" not in done.output
