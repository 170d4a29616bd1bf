"""Who may search, when there are more searches than may run at once.

Whoever has to wait stands in the line of its client, and the lines take turns, so a client with many requests
does not keep others waiting. If there are too many altogether, the longest line loses its last.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import trio

from trio_beam.gateway.api_error import ApiError

#: Seconds that a refused client is told to wait.
_RETRY_AFTER = 2.0


@attrs.define(eq=False)
class _Waiter:
    ready: trio.Event = attrs.field(factory=trio.Event)
    refused: bool = False


class Admission:
    """Lets searches in.

    Args:
        searches: maximum number at once.
        waiting: maximum number that wait.

    Attributes:
        running: number of searches that run.
    """

    def __init__(self, searches: int, waiting: int) -> None:
        self.running = 0
        self._searches = searches
        self._waiting = waiting
        #: The client whose turn is next comes first.
        self._lines: OrderedDict[str, deque[_Waiter]] = OrderedDict()

    @property
    def waiting(self) -> int:
        """Number of searches that wait."""
        return sum(map(len, self._lines.values()))

    @asynccontextmanager
    async def admitted(self, client: str) -> AsyncIterator[None]:
        """Wait for admission, and give it back at the end of the block.

        Args:
            client: who asks.

        Raises:
            ApiError: there are too many.
        """
        await self._enter(client)
        try:
            yield
        finally:
            self.leave()

    def enter_at_once(self) -> bool:
        """Enter if a place is free, without waiting; `leave` gives it back."""
        if self.running >= self._searches or self._lines:
            return False
        self.running += 1
        return True

    async def _enter(self, client: str) -> None:
        await trio.lowlevel.checkpoint()
        if self.enter_at_once():
            return
        waiter = _Waiter()
        self._lines.setdefault(client, deque()).append(waiter)
        if self.waiting > self._waiting:
            self._refuse_one()
        try:
            await waiter.ready.wait()
        except trio.Cancelled:
            if not waiter.ready.is_set():
                self._remove(client, waiter)
            elif not waiter.refused:
                self.leave()
            raise
        if waiter.refused:
            raise self._too_many()

    def _refuse_one(self) -> None:
        """Refuse the last of the longest line; of equal ones, of that which is served last."""
        client = max(reversed(self._lines), key=lambda name: len(self._lines[name]))
        waiter = self._lines[client][-1]
        self._remove(client, waiter)
        waiter.refused = True
        waiter.ready.set()

    def _remove(self, client: str, waiter: _Waiter) -> None:
        line = self._lines[client]
        line.remove(waiter)
        if not line:
            del self._lines[client]

    def leave(self) -> None:
        """Give a place back: to whose turn it is."""
        if not self._lines:
            self.running -= 1
            return
        client, line = next(iter(self._lines.items()))
        waiter = line.popleft()
        del self._lines[client]
        if line:
            self._lines[client] = line  # at the end: the others first
        waiter.ready.set()

    def _too_many(self) -> ApiError:
        words = f"{self._searches} searches are running and {self._waiting} wait: try again later"
        return ApiError(
            status=429, message=words, code="too_many_searches", retry_after=_RETRY_AFTER
        )
