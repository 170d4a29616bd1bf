"""The keeper as a process: what it does when it is killed, and when a way to confine fails it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

import trio_beam.benchmark.jail
from tests.benchmark.boxes import possible
from tests.benchmark.processes import children_of, descendants_of, ended, exists, until

START = Path(trio_beam.benchmark.jail.__file__).with_name("_start.py")
ENDLESS = "while True: pass"
#: In a room, with a child in a session of its own.
DAEMON = "import os\nif os.fork() == 0: os.setsid()\nwhile True: pass"


@asynccontextmanager
async def keeper(*command: str) -> AsyncIterator[trio.Process]:
    process = await trio.lowlevel.open_process(
        [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        assert process.stdin is not None
        assert process.stdout is not None
        with trio.CancelScope(shield=True):
            await process.wait()
            await process.stdin.aclose()
            await process.stdout.aclose()


async def tell(process: trio.Process, source: str, *, processes: int = 1) -> None:
    limits = [60.0, 1 << 30, processes]
    request = {"job": "run_program", "argument": {"source": source}, "limits": limits}
    assert process.stdin is not None
    await process.stdin.send_all(json.dumps(request).encode() + b"\n")


async def hear(process: trio.Process) -> dict[str, Any]:
    assert process.stdout is not None
    line = b""
    while not line.endswith(b"\n"):
        data = await process.stdout.receive_some()
        assert data, "the keeper has ended"
        line += data
    answer: dict[str, Any] = json.loads(line)
    return answer


@pytest.mark.parametrize(("way", "source", "size"), [("room", DAEMON, 4), ("filter", ENDLESS, 1)])
async def test_nothing_survives_a_keeper_that_is_killed(way: str, source: str, size: int) -> None:
    if reason := possible(way):
        pytest.skip(reason)
    with trio.fail_after(60):
        async with keeper("-I", str(START), way) as process:
            await tell(process, source, processes=4)
            # The room's two processes outside of the program, it, and its child.
            await until(lambda: len(descendants_of(process.pid)) == size)
            started = descendants_of(process.pid)
            process.send_signal(signal.SIGKILL)
            await process.wait()
            await ended(started)


@pytest.mark.parametrize("way", ["room", "filter"])
async def test_nothing_survives_the_end_of_its_input(way: str) -> None:
    if reason := possible(way):
        pytest.skip(reason)
    with trio.fail_after(60):
        async with keeper("-I", str(START), way) as process:
            await tell(process, ENDLESS)
            await until(lambda: bool(children_of(process.pid)))
            started = descendants_of(process.pid)
            assert process.stdin is not None
            await process.stdin.aclose()
            assert await process.wait() == 0
            assert not any(exists(number) for number in started)


async def test_where_a_way_fails_the_next_one_is_taken() -> None:
    if reason := possible("filter"):
        pytest.skip(reason)
    source = (
        "from trio_beam.benchmark.jail import keeper, rooms\n"
        "def furnish(size): raise PermissionError(1, 'not here')\n"
        "rooms.furnish = furnish\n"
        "keeper.main(['room,filter'])\n"
    )
    with trio.fail_after(60):
        async with keeper("-c", source) as process:
            for _ in range(2):
                await tell(process, "raise Exception(1)")
                answer = await hear(process)
                assert (answer["way"], answer["detail"]) == ("filter", "Exception: 1")


async def test_where_all_fail_the_job_is_not_done_and_the_reasons_are_told(tmp_path: Path) -> None:
    source = (
        "from trio_beam.benchmark.jail import keeper, kernel\n"
        "def drop(): raise PermissionError(1, 'not here')\n"
        "kernel.drop_capabilities = drop\n"
        "keeper.main(['room,filter'])\n"
    )
    with trio.fail_after(60):
        async with keeper("-c", source) as process:
            await tell(process, f"open({str(tmp_path / 'x')!r}, 'w')")
            answer = await hear(process)
    assert answer["outcome"] == "unavailable"
    assert "not here" in answer["detail"]
    assert not await trio.Path(tmp_path / "x").exists()


async def test_a_copy_that_a_program_makes_of_itself_does_not_report() -> None:
    if reason := possible("room"):
        pytest.skip(reason)
    with trio.fail_after(60):
        async with keeper("-I", str(START), "room") as process:
            # The copy ends first, and comes to the end of the program.
            await tell(process, "import os\nif os.fork(): os.wait(); assert 0", processes=4)
            assert (await hear(process))["detail"] == "AssertionError"
