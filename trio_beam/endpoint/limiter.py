"""A limit on requests in flight that is fair between searches and can adapt its size.

A slot is lent for one attempt. Each search has its own queue of waiting requests, and free slots go to
the queues in turn, so a search of 200 beams does not starve one of 2.

The size may adapt (additive increase, multiplicative decrease; Chiu and Jain 1989, as in TCP): it grows
by one per full round of slots with responses in time, and is halved at most once per round of slots
when the server is overloaded.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable

import trio


class FairLimiter:
    """Lends slots to requests.

    Args:
        size: number of slots; with `adaptive`, the initial number.
        adaptive: whether `succeeded` and `overloaded` change the size.
        max_size: maximum size to grow to.
        ceiling: upper bound on any size, including explicit ones; None: no bound.
    """

    def __init__(
        self,
        size: int,
        *,
        adaptive: bool = False,
        max_size: int | None = None,
        ceiling: int | None = None,
    ) -> None:
        self._ceiling = math.inf if ceiling is None else ceiling
        self._size = float(min(size, self._ceiling))
        self._max_size = max(size, max_size or size)
        self._adaptive = adaptive
        # Ordered, but with O(1) removal: thousands of tasks may be cancelled at once.
        self._lines: OrderedDict[Hashable, OrderedDict[trio.lowlevel.Task, None]] = OrderedDict()
        #: Number of decreases; see `overloaded`.
        self.generation = 0
        self.in_flight = 0

    @property
    def size(self) -> int:
        """Current number of slots."""
        return int(self._size)

    @property
    def waiting(self) -> int:
        """Number of requests waiting for a slot."""
        return sum(map(len, self._lines.values()))

    def resize(self, size: int, *, max_size: int | None = None) -> None:
        """Set the size, and the bound for growing if it adapts."""
        self._max_size = max(size, max_size or size)
        self._set(size)

    def try_acquire(self) -> bool:
        """Take a slot if one is free and nobody waits for it; return it with `release`."""
        if self._lines or self.in_flight >= self.size:
            return False
        self.in_flight += 1
        return True

    async def acquire(self, search: Hashable) -> None:
        """Wait for a slot in the queue of a search; return it with `release`."""
        task = trio.lowlevel.current_task()
        self._lines.setdefault(search, OrderedDict())[task] = None

        def abort(_: object) -> trio.lowlevel.Abort:
            del self._lines[search][task]
            if not self._lines[search]:
                del self._lines[search]
            return trio.lowlevel.Abort.SUCCEEDED

        # Handing out a slot wakes its new owner in one step, so no slot can be lost in between.
        await trio.lowlevel.wait_task_rescheduled(abort)

    def release(self) -> None:
        """Return a slot."""
        self.in_flight -= 1
        self._hand_out()

    def succeeded(self) -> None:
        """Note a response in time."""
        if self._adaptive and self.in_flight >= self.size:
            # Only a limit that is reached says anything about a larger one.
            self._set(min(self._max_size, self._size + 1 / self._size))

    def overloaded(self, generation: int) -> None:
        """Note that the server was busy (429, 503) or did not respond in time.

        Args:
            generation: value of `generation` when the slot was taken. Slots taken before the last
                decrease are ignored, since that decrease already accounts for them.
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
                self._lines[search] = line  # at the end: the other queues come first
            self.in_flight += 1
            trio.lowlevel.reschedule(task)
