"""Calls between asyncio and Trio, in both directions."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar

import trio

from trio_beam.asyncio.guest import Call, Guest, wait_out

P = ParamSpec("P")
T = TypeVar("T")


async def run_in_trio(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Do work in Trio, called from Trio or from asyncio.

    Raises:
        TrioBeamError: as `Guest.current`.
        asyncio.CancelledError: as `Call.result`.
    """
    if trio.lowlevel.in_trio_task():
        return await work()
    guest = await Guest.current()
    async with guest:
        return await guest.begin(work).result()


def in_trio(
    function: Callable[P, Coroutine[Any, Any, T]],
) -> Callable[P, Coroutine[Any, Any, T]]:
    """Make a coroutine function for Trio callable from asyncio too."""

    @functools.wraps(function)
    async def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        return await run_in_trio(lambda: function(*args, **kwargs))

    return wrapped


class HeldInTrio(Generic[T]):
    """A Trio context manager, entered and left in asyncio.

    It never sees an exception of the block, which propagates in asyncio.
    """

    def __init__(self, manager: AbstractAsyncContextManager[T]) -> None:
        self._manager = manager
        self._leaving = trio.Event()
        self._values: list[T] = []
        self._stack = AsyncExitStack()  # has the guest entered
        self._guest: Guest
        self._entered: asyncio.Future[None]
        self._call: Call[None]

    @property
    def failed(self) -> bool:
        """Whether it ended early, with an error that leaving it raises."""
        return self._call.error is not None

    async def __aenter__(self) -> T:
        guest = await self._stack.enter_async_context(await Guest.current())
        self._guest = guest
        self._entered = guest.loop.create_future()
        self._call = guest.begin(self._hold)
        try:
            cancelled = await wait_out(self._entered, self._call.cancel)
        except GeneratorExit:
            self._abandon()
            raise
        if cancelled is not None or not self._values:
            self._leaving.set()
            async with self._stack:
                await self._call.result(cancelled)
        return self._values[0]

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leaving.set()
        if exc_type is GeneratorExit:
            self._abandon()
            return
        async with self._stack:  # noqa: ASYNC102  # as above
            await self._call.result()  # noqa: ASYNC102  # in asyncio, and no cancellation interrupts it

    def _abandon(self) -> None:
        """Cancel without waiting: a coroutine that is closed cannot."""
        self._call.cancel()
        self._stack.pop_all()
        self._guest.leave()

    async def _hold(self) -> None:
        try:
            async with self._manager as value:
                self._values.append(value)
                self._entered.set_result(None)
                await self._leaving.wait()
        finally:
            if not self._entered.done():
                self._entered.set_result(None)


async def await_in_asyncio(
    loop: asyncio.AbstractEventLoop, function: Callable[..., Coroutine[Any, Any, T]], *args: Any
) -> T:
    """Await an asyncio coroutine function from Trio as a guest of `loop`.

    Raises:
        trio.Cancelled: cancelled, after the asyncio task was cancelled and has ended.
    """
    waiting = trio.lowlevel.current_task()
    task = loop.create_task(function(*args))
    task.add_done_callback(lambda _: trio.lowlevel.reschedule(waiting))

    def abort(_: object) -> trio.lowlevel.Abort:
        task.cancel()
        return trio.lowlevel.Abort.FAILED  # the wait ends when the task does

    await trio.lowlevel.wait_task_rescheduled(abort)
    if task.cancelled():
        await trio.lowlevel.checkpoint_if_cancelled()
    return task.result()


class IteratedInAsyncio(Generic[T]):
    """An asynchronous iterable for asyncio, read from Trio."""

    def __init__(self, items: AsyncIterable[T]) -> None:
        self._loop = asyncio.get_running_loop()
        self._items = items
        self._iterator: AsyncIterator[T] | None = None

    def __aiter__(self) -> IteratedInAsyncio[T]:
        return self

    async def __anext__(self) -> T:
        return await await_in_asyncio(self._loop, self._next)

    async def _next(self) -> T:
        if self._iterator is None:
            self._iterator = aiter(self._items)
        return await anext(self._iterator)
