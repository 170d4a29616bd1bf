"""Programs in the sandbox, for the tests of it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from textwrap import dedent

from tests.benchmark.sandbox.processes import descendants_of
from trio_beam.benchmark.sandbox import ProcessFailed, Sandbox
from trio_beam.benchmark.sandbox.process import SandboxProcess
from trio_beam.benchmark.sandbox.verdict import load

FORKS = "import os\nwhile True: os.fork()"
REFUSED = "PermissionError: [Errno 1] Operation not permitted"


@asynccontextmanager
async def ready(sandbox: Sandbox) -> AsyncIterator[SandboxProcess]:
    """A process that waits for its program."""
    async with sandbox.process("program") as process:
        await process.ready()
        yield process


async def run(sandbox: Sandbox, source: str) -> None:
    """Run a program to its end, as the judge does before it asks for anything."""
    async with sandbox.slot(), ready(sandbox) as process:
        with sandbox.time_limit():
            await load(process, dedent(source), "")


async def ending(sandbox: Sandbox, source: str) -> str:
    """Why a program failed; "" if it did not."""
    try:
        await run(sandbox, source)
    except ProcessFailed as failed:
        return failed.detail
    return ""


async def fails(sandbox: Sandbox, source: str) -> str:
    detail = await ending(sandbox, source)
    assert detail
    return detail


def nothing_is_left() -> bool:
    """Whether the process of the tests has no child, nor a child's child."""
    return not descendants_of(os.getpid())
