"""Trio as a guest of the running asyncio loop: one thread, two loops.

A thread can have only one guest run, so all calls from a loop share one. It starts with the first call and
ends with the last, leaving nothing of Trio behind. Meanwhile `trio.run` cannot be called in the same thread.
When `asyncio.run` closes the loop, it ends the guest together with the remaining tasks.

Calls are Trio tasks in the context (`contextvars`) of their callers. Cancelling the asyncio task that waits
for a call cancels the call, then waits until nothing is left of it.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import trio

from trio_beam.errors import TrioBeamError

T = TypeVar("T")


class Call(Generic[T]):
    """Work to do in Trio, and its outcome.

    Args:
        work: awaited in Trio.
        loop: the loop of the caller.

    Attributes:
        over: done when the work is.
        error: the exception that ended the work, if any.
    """

    def __init__(self, work: Callable[[], Awaitable[T]], loop: asyncio.AbstractEventLoop) -> None:
        self.over: asyncio.Future[None] = loop.create_future()
        self.error: BaseException | None = None
        self._work = work
        self._scope = trio.CancelScope()
        self._values: list[T] = []

    async def carry_out(self) -> None:
        """Do the work, in Trio."""
        try:
            with self._scope:
                self._values.append(await self._work())
        except trio.Cancelled:  # the guest is over
            raise
        except BaseException as error:  # noqa: ASYNC103  # handed to the caller
            self.error = error
        finally:
            self.over.set_result(None)

    def cancel(self) -> None:
        """Cancel the work; it still runs until it has cleaned up."""
        self._scope.cancel(reason="the asyncio task was cancelled")

    async def result(self, cancelled: asyncio.CancelledError | None = None) -> T:
        """Wait until the work is over, and return its value or raise its error.

        Args:
            cancelled: a cancellation that the caller has already received.

        Raises:
            asyncio.CancelledError: the waiting task was cancelled (an error of the work takes precedence), or
                the loop is closing.
        """
        try:
            cancelled = await wait_out(self.over, self.cancel) or cancelled
        except GeneratorExit:  # the waiting coroutine was closed
            self.cancel()
            raise
        if self.error is not None:
            raise self.error
        if cancelled is not None:
            raise cancelled
        if not self._values:
            raise asyncio.CancelledError("the event loop is closing")
        return self._values[0]


async def wait_out(
    future: asyncio.Future[Any], cancel: Callable[[], object]
) -> asyncio.CancelledError | None:
    """Wait until a future is done, even if cancelled; return the last cancellation received meanwhile.

    Args:
        future: the future.
        cancel: called at each cancellation, to bring the end about.
    """
    cancelled = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:  # noqa: ASYNC103  # the caller raises it, at the end
            cancelled = error
            cancel()
    return cancelled


class Guest:
    """A Trio run on the running asyncio loop, which lasts while anybody has it entered."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._users = 0
        self._scope = trio.CancelScope()
        self._ended: asyncio.Future[None] = self.loop.create_future()
        trio.lowlevel.start_guest_run(
            self._main,
            run_sync_soon_threadsafe=self.loop.call_soon_threadsafe,
            run_sync_soon_not_threadsafe=self.loop.call_soon,
            done_callback=self._done,
            # asyncio uses it on Windows and wherever it handles signals. Trio needs it only to wake up on
            # a signal, which wakes the host anyway.
            host_uses_signal_set_wakeup_fd=True,
        )
        # `asyncio.run` cancels and awaits all remaining tasks, so the guest never outlives its loop.
        self._keeper = self.loop.create_task(self._keep(), name="trio_beam: Trio")

    @classmethod
    async def current(cls) -> Guest:
        """Return the guest of the running loop, started if necessary.

        Raises:
            TrioBeamError: no asyncio loop is running, or this thread already runs Trio in another way.
        """
        while (guest := _current()) is not None and guest.ending:
            await asyncio.wait([guest._keeper])  # noqa: SLF001
        if guest is None:
            guest = _OF_THREAD.guest = cls()
        return guest

    @property
    def ending(self) -> bool:
        """Whether it accepts no more calls."""
        return self._scope.cancel_called

    def begin(self, work: Callable[[], Awaitable[T]]) -> Call[T]:
        """Start work in Trio; the caller has the guest entered until the call is over."""
        call = Call(work, self.loop)
        # A system task, since its parent is not in Trio: the caller in asyncio waits for it.
        context = contextvars.copy_context()
        trio.lowlevel.spawn_system_task(call.carry_out, name=work, context=context)
        return call

    async def __aenter__(self) -> Self:
        self._users += 1
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leave()
        if self._users or exc_type is GeneratorExit:  # a coroutine that is closed cannot wait
            return
        cancelled = await wait_out(  # noqa: ASYNC102  # in asyncio, and no cancellation interrupts it
            self._keeper, self._scope.cancel
        )
        if cancelled is not None and exc_type is None:
            raise cancelled

    def leave(self) -> None:
        """Leave without waiting for the run to end."""
        self._users -= 1
        if not self._users:
            self._scope.cancel()

    async def _main(self) -> None:
        with self._scope:
            await trio.sleep_forever()

    async def _keep(self) -> None:
        cancelled = await wait_out(self._ended, self._scope.cancel)
        if cancelled is not None:
            raise cancelled

    def _done(self, outcome: Any) -> None:
        _OF_THREAD.guest = None
        self._ended.set_result(None)
        outcome.unwrap()  # a Ctrl-C that Trio handled leaves the loop, as from any callback


class _OfThread(threading.local):
    guest: Guest | None = None


_OF_THREAD = _OfThread()


def _current() -> Guest | None:
    """Return the guest of the running loop, if there is one.

    Raises:
        TrioBeamError: as `Guest.current`.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        message = (
            "trio_beam.asyncio needs a running asyncio loop: call it from `asyncio.run(main())`"
        )
        raise TrioBeamError(message) from None
    guest = _OF_THREAD.guest
    if guest is None and trio.lowlevel.in_trio_run():
        raise TrioBeamError(
            "Trio already runs in this thread as a guest, and a thread can have only one:"
            " call the functions of trio_beam itself in a task of that run"
        )
    if guest is not None and guest.loop is not loop:
        raise TrioBeamError(
            "another event loop of this thread still has an endpoint or a search of trio_beam.asyncio open:"
            " close it before that loop stops"
        )
    return guest
