"""Calls that block until a search is done, from asyncio or without an event loop."""

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
_WARNED: WeakSet[asyncio.AbstractEventLoop] = WeakSet()


def run_blocking(work: Callable[[], Awaitable[T]]) -> T:
    """Run work and block until it is done, inside asyncio too (with a warning in the log).

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
    _warn_that_it_blocks(asyncio.get_running_loop())
    return _run_in_thread(work)


async def _awaited(work: Callable[[], Awaitable[T]]) -> T:
    return await work()


def _warn_that_it_blocks(loop: asyncio.AbstractEventLoop) -> None:
    """Log a warning once per loop; with `warnings` the call would fail where warnings are errors."""
    if loop not in _WARNED:
        _WARNED.add(loop)
        _LOG.warning(
            "this call blocks the event loop until the search is done; in a coroutine, use"
            " `await trio_beam.asyncio.beam_search(endpoint, prompt, config)`, or make this call with"
            " `await asyncio.to_thread(...)`"
        )


def _run_in_thread(work: Callable[[], Awaitable[T]]) -> T:
    """Run work in Trio in another thread.

    As a guest of the blocked loop it would be blocked too, and `trio.run` fails in a thread where Trio is
    already a guest.
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
        raise trio.RunFinishedError("interrupted")  # nobody waits for the result any more

    context = contextvars.copy_context()  # overrides see the caller's variables
    with _interruptible(), ThreadPoolExecutor(1, "trio_beam") as thread:
        try:
            return thread.submit(lambda: context.run(lambda: trio.run(main))).result()
        except KeyboardInterrupt:
            interrupted.set()  # first, in case the run is about to begin
            if begun.done():
                with suppress(trio.RunFinishedError):
                    begun.result().run_sync_soon(scope.cancel)
            raise  # once the thread has ended


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C interrupt this thread; asyncio's own handler would wait for the blocked loop."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
