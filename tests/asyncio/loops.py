"""How the tests of this folder run asyncio, and what must be true afterwards."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import trio

T = TypeVar("T")
SECONDS = 30


def run(main: Callable[[], Awaitable[T]]) -> T:
    """Run it by `asyncio.run`; nothing of Trio is left when it returns."""

    async def timed() -> T:
        try:
            async with asyncio.timeout(SECONDS):
                return await main()
        finally:
            nothing_is_left()

    coroutine: Coroutine[Any, Any, T] = timed()
    try:
        return asyncio.run(coroutine)
    finally:
        assert not trio.lowlevel.in_trio_run()


def nothing_is_left() -> None:
    """No guest, and no task but the caller's."""
    assert not trio.lowlevel.in_trio_run()
    assert asyncio.all_tasks() == {asyncio.current_task()}


def in_thread(work: Callable[[], T]) -> Callable[[], T]:
    """Begin it in a thread; the returned function waits for its result."""
    results: list[T] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()

    def wait() -> T:
        thread.join(SECONDS)
        return results[0]

    return wait
