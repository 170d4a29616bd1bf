"""Detect the caller's event loop, and refuse the wrong one with a plain message."""

from __future__ import annotations

import sys

import trio

from trio_beam.errors import TrioBeamError


def in_asyncio() -> bool:
    """Whether an asyncio loop is running in this thread."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:  # whoever runs a loop has imported it; importing it costs as much as httpx
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def require_trio(name: str) -> None:
    """Check that the caller is a Trio task.

    Args:
        name: the name of the called function in ``trio_beam``.

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
