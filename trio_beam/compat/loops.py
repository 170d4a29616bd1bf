"""Calls that block until a search is done, from asyncio or from no event loop at all."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar
from weakref import WeakSet

import trio

from trio_beam.errors import TrioBeamError
from trio_beam.event_loop import in_asyncio

T = TypeVar("T")
_LOG = logging.getLogger("trio_beam")
_BLOCKED: WeakSet[asyncio.AbstractEventLoop] = WeakSet()


def run_blocking(work: Callable[[], Awaitable[T]]) -> T:
    """Run it, and block until it is done; inside asyncio too, which is told to the log.

    Raises:
        TrioBeamError: called inside Trio.
    """
    if trio.lowlevel.in_trio_task():
        raise TrioBeamError(
            "this call blocks, so it cannot be made inside Trio:"
            " use `await trio_beam.beam_search(endpoint, prompt, config)` there"
        )
    if not in_asyncio():
        return trio.run(_awaited, work)
    _say_that_it_blocks(asyncio.get_running_loop())
    return _run_in_thread(work)


async def _awaited(work: Callable[[], Awaitable[T]]) -> T:
    return await work()


def _say_that_it_blocks(loop: asyncio.AbstractEventLoop) -> None:
    """Log it once a loop. A warning would be an error to those who have warnings as errors, and it works."""
    if loop not in _BLOCKED:
        _BLOCKED.add(loop)
        _LOG.warning(
            "this call blocks the event loop until the search is done; in a coroutine, rather"
            " `await trio_beam.asyncio.beam_search(endpoint, prompt, config)`, or this call by"
            " `await asyncio.to_thread(...)`"
        )


def _run_in_thread(work: Callable[[], Awaitable[T]]) -> T:
    """Run it in Trio, in another thread: as a guest of the loop that is blocked it could not go on.

    Nor could `trio.run` in this thread, where Trio may be the loop's guest already.
    """
    scope = trio.CancelScope()
    interrupted = threading.Event()
    begun: Future[trio.lowlevel.TrioToken] = Future()

    async def main() -> T:
        begun.set_result(trio.lowlevel.current_trio_token())
        if interrupted.is_set():
            scope.cancel()
        with scope:
            return await work()
        raise trio.RunFinishedError("interrupted")  # nobody waits for it any more

    context = contextvars.copy_context()  # the caller's variables are its overrides' too
    with _interruptible(), ThreadPoolExecutor(1, "trio_beam") as thread:
        try:
            return thread.submit(lambda: context.run(lambda: trio.run(main))).result()
        except KeyboardInterrupt:
            interrupted.set()  # first: it may be about to begin
            if begun.done():
                with suppress(trio.RunFinishedError):
                    begun.result().run_sync_soon(scope.cancel)
            raise  # when the thread has ended


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C interrupt this thread; asyncio's own handler would wait for the loop, which waits."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
