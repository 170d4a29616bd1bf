"""Run searches for callers in Trio, in asyncio or without an event loop.

The search itself always runs in Trio. For a caller in another loop it runs in its own thread, since a
thread can have only one loop; cancelling the caller cancels the search, and nothing of it is left when the
caller continues.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Generic, ParamSpec, TypeVar

import trio

from trio_beam.errors import TrioBeamError

P = ParamSpec("P")
T = TypeVar("T")


def in_trio(
    method: Callable[P, Coroutine[Any, Any, T]],
) -> Callable[P, Coroutine[Any, Any, T]]:
    """Make a coroutine method for Trio callable from asyncio too."""

    @functools.wraps(method)
    async def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        if trio.lowlevel.in_trio_task() or not _in_asyncio():
            return await method(*args, **kwargs)
        return await _await_in_asyncio(lambda: method(*args, **kwargs))

    return wrapped


def run_blocking(work: Callable[[], Awaitable[T]]) -> T:
    """Run work and block until it is done, also inside asyncio.

    Raises:
        TrioBeamError: called inside Trio.
    """
    if trio.lowlevel.in_trio_run():
        raise TrioBeamError(
            "this call blocks, so it cannot be made inside Trio:"
            " use `await trio_beam.beam_search(endpoint, prompt, config)` there"
        )

    async def main() -> T:
        return await work()

    return _block_in_asyncio(work) if _in_asyncio() else trio.run(main)


def _in_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class _TrioThread(Generic[T]):
    """A Trio run in its own thread."""

    def __init__(
        self, work: Callable[[], Awaitable[T]], done: Callable[[], object] = lambda: None
    ) -> None:
        self._work = work
        self._done = done
        self._lock = threading.Lock()
        self._scope = trio.CancelScope()
        self._cancelled = False
        self._token: trio.lowlevel.TrioToken | None = None
        self._results: list[T] = []
        self._error: BaseException | None = None
        # The caller's overrides see its context variables.
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._body,), name="trio_beam")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def cancel(self) -> None:
        """Cancel the work, even before it has started."""
        with self._lock:
            self._cancelled = True
            if self._token is not None:
                with suppress(trio.RunFinishedError):
                    self._token.run_sync_soon(self._scope.cancel)

    def join(self) -> None:
        """Block until the thread has ended."""
        self._thread.join()

    def result(self) -> T:
        """Return the work's result, or raise its exception, once it has ended."""
        if self._error is not None:
            raise self._error
        return self._results[0]

    def _body(self) -> None:
        try:
            trio.run(self._main)
        except BaseException as error:  # noqa: ASYNC103  # handed to the caller's thread
            self._error = error
        finally:
            self._done()

    async def _main(self) -> None:
        with self._lock:
            self._token = trio.lowlevel.current_trio_token()
            if self._cancelled:
                self._scope.cancel()
        with self._scope:
            self._results.append(await self._work())


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C interrupt this thread: asyncio's handler would wait for the loop, which is blocked."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _block_in_asyncio(work: Callable[[], Awaitable[T]]) -> T:
    thread = _TrioThread(work)
    thread.start()
    try:
        with _interruptible():
            thread.join()
    except KeyboardInterrupt:
        thread.cancel()
        thread.join()
        raise
    return thread.result()


async def _await_in_asyncio(work: Callable[[], Awaitable[T]]) -> T:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()

    def done() -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is waiting
            loop.call_soon_threadsafe(over.set)

    thread = _TrioThread(work, done)
    thread.start()
    cancelled: asyncio.CancelledError | None = None
    try:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError as error:  # noqa: ASYNC103  # raised once the search is over
                cancelled = error
                thread.cancel()  # then keep waiting, so that nothing of it is left
    finally:
        thread.cancel()  # also if this coroutine is closed
    thread.join()
    if cancelled is not None:
        raise cancelled
    return thread.result()
