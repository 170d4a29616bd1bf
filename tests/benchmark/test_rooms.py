"""What a program may do in a room of its own, and what is left of it: nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from textwrap import dedent

import pytest
import trio

from tests.benchmark.boxes import FORKS, ending, fails, keepers, possible, run
from tests.benchmark.processes import children_of
from trio_beam.benchmark.sandbox import Limits, Sandbox


@pytest.fixture(autouse=True)
async def in_time() -> AsyncIterator[None]:
    with trio.fail_after(60):
        yield


DAEMONS = """
    import os, signal
    for _ in range(4):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                while True: signal.pause()
            os._exit(0)
"""


@pytest.mark.parametrize("source", [FORKS, DAEMONS], ids=["forks", "daemons"])
async def test_where_it_may_nothing_of_it_stays(source: str) -> None:
    if reason := possible("room"):
        pytest.skip(reason)
    sandbox = Sandbox(ways=("room",), limits=Limits(seconds=2, processes=12))
    try:
        # Each of the copies that go on forking may be the one that reports.
        assert "killed" not in await ending(sandbox, source)
        assert keepers(sandbox)
        assert all(not children_of(keeper) for keeper in keepers(sandbox))
    finally:
        await sandbox.aclose()


async def test_rooms_do_not_share_their_limit_of_processes() -> None:
    if reason := possible("room"):
        pytest.skip(reason)
    source = dedent("""
        import os, time
        for _ in range(3):
            if os.fork() == 0:
                time.sleep(1)
                os._exit(0)
        for _ in range(3):
            os.wait()
    """)
    first, second = (
        Sandbox(ways=("room",), limits=Limits(seconds=20, processes=4)) for _ in range(2)
    )
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, first, source)
            nursery.start_soon(run, second, source)
    finally:
        await first.aclose()
        await second.aclose()


async def test_a_room_has_a_folder_in_memory_of_limited_size() -> None:
    if reason := possible("room"):
        pytest.skip(reason)
    sandbox = Sandbox(ways=("room",), limits=Limits(file_size=1 << 20))
    try:
        await run(sandbox, "import os\nopen('x', 'w').write('y')\nassert 'x' in os.listdir()")
        await run(sandbox, "import os\nassert 'x' not in os.listdir()")
        said = await fails(sandbox, "open('x', 'wb').write(bytes(1 << 21))")
        assert "File too large" in said
        said = await fails(sandbox, "for n in range(9): open(str(n), 'wb').write(bytes(1 << 18))")
        assert "No space left" in said
    finally:
        await sandbox.aclose()
