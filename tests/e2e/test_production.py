"""The gateway as its page runs it in production: the systemd unit, and what its command does."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.e2e.test_gateway import ROOT, command, killable
from tests.gateway.serving import ask
from trio_beam.cli.serve import serve
from trio_beam.gateway import server

SYSTEMD = shutil.which("systemd-analyze")
KEY = "first-key"


def block(language: str) -> str:
    """A block of the page."""
    page = (ROOT / "docs/how-to/gateway.md").read_text("utf-8")
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    return found[0]


def words_of_the_unit(directory: Path) -> list[str]:
    """The command's words behind ``trio-beam serve``, with a directory for that of the configuration."""
    (line,) = re.findall(r"^ExecStart=(.*)$", block("ini").replace("\\\n", " "), re.MULTILINE)
    program, name, *words = shlex.split(line.replace("/etc/trio-beam", str(directory)))
    assert (Path(program).name, name) == ("trio-beam", "serve")
    return words


@pytest.mark.skipif(SYSTEMD is None, reason="systemd is not installed")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    """What it does not know it reports, and ignores."""
    path = tmp_path / "trio-beam.service"
    path.write_text(block("ini").replace("/opt/trio-beam/bin/trio-beam", "/bin/true"), "utf-8")
    assert SYSTEMD is not None
    done = subprocess.run([SYSTEMD, "verify", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_systemd_waits_longer_than_the_gateway() -> None:
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", block("ini"), re.MULTILINE)
    grace: Any = next(one.default for one in serve.params if one.name == "grace")
    assert int(seconds) > grace + server._LAST_WORDS


async def test_its_command_and_its_end(tmp_path: Path) -> None:
    """A key is needed, the file's strategy is there, and SIGTERM brings the best so far.

    The search would take eight seconds, and each of its blocks half a second.
    """
    (tmp_path / "strategies.toml").write_text(block("toml"), "utf-8")
    words = words_of_the_unit(tmp_path)
    more = ["--model", "m", "--dialect", "openai", "--grace", "2"]
    body = {"model": "m@careful", "prompt": "a", "max_tokens": 3000}
    answers: list[Any] = []

    async def one(url: str) -> None:
        answers.append(
            await ask(url, "POST", "/v1/completions", body, authorization=f"Bearer {KEY}")
        )

    with trio.fail_after(90):
        async with killable(0.5) as (model, _):
            words[words.index("--base-url") + 1] = f"{model}/v1"
            keys = {"GATEWAY_KEYS": f"{KEY},second-key"}
            async with command(*words, *more, environment=keys) as (url, process):
                assert (await ask(url, "GET", "/v1/models")).status_code == 401
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(one, url)
                    while (await ask(url, "GET", "/health")).json()["searches_running"] < 1:  # noqa: ASYNC110
                        await trio.sleep(0.05)
                    process.send_signal(signal.SIGTERM)
                (code,) = re.findall(r"^SuccessExitStatus=(\d+)$", block("ini"), re.MULTILINE)
                assert await process.wait() == int(code)
    (answer,) = answers
    assert answer.status_code == 200
    assert json.loads(answer.text)["trio_beam"]["stop_reason"] == "interrupted"
    assert json.loads(answer.text)["choices"][0]["text"]
