"""Programs in a sandbox, for the tests of it."""

from __future__ import annotations

from textwrap import dedent

from trio_beam.benchmark.common.problem import BenchmarkError
from trio_beam.benchmark.sandbox import JobFailed, Sandbox

FORKS = "import os\nwhile True: os.fork()"


def possible(way: str) -> str | None:
    """Why this machine does not have a way to confine; None if it has it."""
    try:
        Sandbox(ways=(way,)).run_sync("run_program", {"source": ""})
    except BenchmarkError as error:
        return str(error)
    return None


async def run(sandbox: Sandbox, source: str) -> None:
    await sandbox.run("run_program", {"source": dedent(source)})


async def ending(sandbox: Sandbox, source: str) -> str:
    """Why a program failed; "" if it did not."""
    try:
        await run(sandbox, source)
    except JobFailed as failed:
        return failed.detail
    return ""


async def fails(sandbox: Sandbox, source: str) -> str:
    detail = await ending(sandbox, source)
    assert detail
    return detail


def keepers(sandbox: Sandbox) -> list[int]:
    return [keeper.process.pid for keeper in sandbox._idle]
