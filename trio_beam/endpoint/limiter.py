"""The limit on requests in flight: fair between searches, and able to find its own size.

A slot is lent for one attempt. Waiting requests stand in one line for each search, and free slots go
to the lines in turn, so that a search of 200 beams does not starve one of 2.

The size may adapt (additive increase, multiplicative decrease; Chiu and Jain 1989, as in TCP): it
grows by one for each full round of slots answered in time, and is halved when the server is
overloaded, once for each round of slots.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable

import trio


class FairLimiter:
    """Lends slots to requests.

    Args:
        size: most slots lent at the same time; with `adaptive` the size to begin with.
        adaptive: whether `answered` and `overloaded` change the size.
        most: greatest size that it may grow to.
        ceiling: bounds any size, whatever is asked for; None: nothing does.
    """

    def __init__(
        self,
        size: int,
        *,
        adaptive: bool = False,
        most: int | None = None,
        ceiling: int | None = None,
    ) -> None:
        self._ceiling = math.inf if ceiling is None else ceiling
        self._size = float(min(size, self._ceiling))
        self._most = max(size, most or size)
        self._adaptive = adaptive
        # Each line is in order, and any task can leave it at once: thousands are cancelled together.
        self._lines: OrderedDict[Hashable, OrderedDict[trio.lowlevel.Task, None]] = OrderedDict()
        #: Counts the decreases; see `overloaded`.
        self.generation = 0
        self.in_flight = 0

    @property
    def size(self) -> int:
        """Most slots that are lent at the same time, now."""
        return int(self._size)

    @property
    def waiting(self) -> int:
        """Requests that wait for a slot."""
        return sum(map(len, self._lines.values()))

    def resize(self, size: int, *, most: int | None = None) -> None:
        """Give the limit another size, and another bound for growing if it adapts."""
        self._most = max(size, most or size)
        self._set(size)

    def try_acquire(self) -> bool:
        """Take a slot if one is free that nobody waits for; give it back with `release`."""
        if self._lines or self.in_flight >= self.size:
            return False
        self.in_flight += 1
        return True

    async def acquire(self, search: Hashable) -> None:
        """Wait for a slot in the line of a search; give it back with `release`."""
        task = trio.lowlevel.current_task()
        self._lines.setdefault(search, OrderedDict())[task] = None

        def abort(_: object) -> trio.lowlevel.Abort:
            del self._lines[search][task]
            if not self._lines[search]:
                del self._lines[search]
            return trio.lowlevel.Abort.SUCCEEDED

        # Whoever gives a slot wakes its new owner, so none can be lost between the two.
        await trio.lowlevel.wait_task_rescheduled(abort)

    def release(self) -> None:
        """Give a slot back."""
        self.in_flight -= 1
        self._hand_out()

    def answered(self) -> None:
        """The server has answered in time."""
        if self._adaptive and self.in_flight >= self.size:
            # Only a limit that is used says anything about a larger one.
            self._set(min(self._most, self._size + 1 / self._size))

    def overloaded(self, generation: int) -> None:
        """The server has refused for being busy (429, 503), or has not answered in time.

        Args:
            generation: `generation` when the slot was lent. Slots lent before the last decrease do
                not count again: what they met is what it was for.
        """
        if self._adaptive and generation == self.generation:
            self.generation += 1
            self._set(max(1, self.size // 2))

    def _set(self, size: float) -> None:
        self._size = min(size, self._ceiling)
        self._hand_out()

    def _hand_out(self) -> None:
        while self._lines and self.in_flight < self.size:
            search, line = self._lines.popitem(last=False)
            task, _ = line.popitem(last=False)
            if line:
                self._lines[search] = line  # to the end: the other lines come first
            self.in_flight += 1
            trio.lowlevel.reschedule(task)
