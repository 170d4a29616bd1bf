"""Which event loop the caller is in, and a plain message where it is the wrong one."""

from __future__ import annotations

import asyncio

import trio

from trio_beam.errors import TrioBeamError


def in_asyncio() -> bool:
    """Whether a loop of asyncio runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def require_trio(name: str) -> None:
    """Check that a task of Trio is calling.

    Args:
        name: of what is called, as it is written behind ``trio_beam.``.

    Raises:
        TrioBeamError: it is not; the message says what to do.
    """
    if trio.lowlevel.in_trio_task():
        return
    if in_asyncio():
        raise TrioBeamError(
            f"trio_beam.{name} needs Trio, and this is asyncio:"
            f" use trio_beam.asyncio.{name} (`import trio_beam.asyncio`)"
        )
    raise TrioBeamError(f"trio_beam.{name} needs Trio: call it from `trio.run(main)`")
