"""The time that a beam may take, with the waiting for a free slot left out."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stopwatch:
    """Moves the deadline of a beam's cancel scope so that only time in service counts.

    A beam may have several requests under way. Its time runs while at least one of them is being
    served (or waits before a retry), and stands still while all of them wait for a slot.

    Args:
        scope: the beam's cancel scope; its deadline belongs to the stopwatch.
        seconds: the time allowed; infinity for no limit.
    """

    def __init__(self, scope: trio.CancelScope, seconds: float) -> None:
        self._scope = scope
        self._left = seconds
        self._requests = 0
        self._waiting = 0
        self._running = False

    @property
    def remaining(self) -> float:
        """Seconds left; negative if they are over."""
        return self._scope.deadline - trio.current_time() if self._running else self._left

    @property
    def expired(self) -> bool:
        """Whether the time was used up."""
        return self.remaining <= 0

    @contextmanager
    def request(self) -> Iterator[None]:
        """Around each request of the beam, from before its first wait to its end."""
        self._requests += 1
        self._update()
        try:
            yield
        finally:
            self._requests -= 1
            self._update()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around a wait for a slot, inside `request`."""
        self._waiting += 1
        self._update()
        try:
            yield
        finally:
            self._waiting -= 1
            self._update()

    def _update(self) -> None:
        run = self._requests > self._waiting
        if run == self._running:
            return
        self._left = self.remaining
        self._running = run
        self._scope.deadline = trio.current_time() + self._left if run else math.inf
