"""Processes that share a file of rates, over real sockets: the server counts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner

from tests.servers.mock_server import completion
from tests.servers.socket_server import http_answer, raw_server, read_request, threaded_server
from trio_beam.cli.main import cli

#: Runs a command with minutes of two seconds, which begin at the response: however busy this machine is, a
#: request was sent at least a minute after each that has left the count had arrived.
SHORT_MINUTES = """
import sys
from trio_beam.endpoint import rates
rates.MINUTE, rates.TRAVEL = 2.0, 60.0
from trio_beam.batch.command import batch
batch(sys.argv[1:])
"""
SHORT = ["--model", "m", "--dialect", "openai", "--max-tokens", "4", "--seed", "1"]
PROMPTS, RPM = 5, 4


async def test_two_commands_keep_to_the_rate_together(tmp_path: Path) -> None:
    arrivals: list[float] = []

    async def answer(stream: trio.SocketStream, number: int) -> None:
        while True:
            body = await read_request(stream)
            arrivals.append(trio.current_time())
            await stream.send_all(http_answer(completion(body)))

    prompts = tmp_path / "prompts.jsonl"
    rows = [{"id": number, "prompt": f"p {number}"} for number in range(PROMPTS)]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))

    async def run(out: Path, url: str) -> None:
        words = [prompts, "--out", out, "--base-url", url, *SHORT, "--tokens-per-step", "4"]
        words += ["--n-per-beam", "1", "--beam-width", "1", "--quiet"]
        words += ["--rpm", RPM, "--rate-file", tmp_path / "rates"]
        await trio.run_process([sys.executable, "-c", SHORT_MINUTES, *map(str, words)])

    with trio.fail_after(120):
        async with raw_server(answer) as server, trio.open_nursery() as nursery:
            for name in "ab":
                nursery.start_soon(run, tmp_path / name, server.url)
    assert len(arrivals) == 2 * PROMPTS
    for first in arrivals:
        assert len([at for at in arrivals if first <= at < first + 2]) <= RPM


def generate(*words: str) -> Any:
    with threaded_server() as (url, bodies):
        done = CliRunner().invoke(
            cli,
            ["generate", "p", "--base-url", url, *SHORT, *words],
            env={"OPENAI_API_KEY": ""},
        )
        return done, bodies


def test_what_never_fits_is_said_at_once() -> None:
    done, bodies = generate("--tpm", "10")
    assert done.exit_code == 1
    assert "tokens_per_minute is 10: ask for fewer tokens at once" in done.stderr
    assert bodies == []


def test_a_rate_that_is_enough_is_not_felt(tmp_path: Path) -> None:
    done, bodies = generate("--rpm", "100", "--tpm", "5000", "--rate-file", str(tmp_path / "r"))
    assert done.exit_code == 0, done.stderr
    assert bodies
    assert "paused" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rpm", "0"], "--rpm"),
        (["--tpm", "many"], "--tpm"),
        (["--rpm", "1", "--rate-file", "{here}/missing/rates"], "--rate-file must be a file that"),
        (["--rpm", "1", "--rate-file", "{here}/notes.txt"], "trio_beam has made"),
    ],
)
def test_values_that_cannot_be_used_are_named(tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    done, bodies = generate(*(word.replace("{here}", str(tmp_path)) for word in words))
    assert done.exit_code in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert bodies == []
    assert (tmp_path / "notes.txt").read_text() == "mine"
