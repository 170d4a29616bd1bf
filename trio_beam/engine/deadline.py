"""The time that a request of a beam may take, with the waiting for a free slot left out."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stopwatch:
    """Moves the deadline of a cancel scope so that waiting for a slot does not count.

    It runs from the moment it is made, also while a request waits to be repeated.

    Args:
        scope: its deadline belongs to the stopwatch.
        seconds: the time allowed; infinity for no limit.
    """

    def __init__(self, scope: trio.CancelScope, seconds: float) -> None:
        self._scope = scope
        scope.deadline = trio.current_time() + seconds

    @property
    def remaining(self) -> float:
        """Seconds left; infinity while it stands still."""
        return self._scope.deadline - trio.current_time()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Stand still while the block runs."""
        left = self.remaining
        self._scope.deadline = math.inf
        try:
            yield
        finally:
            self._scope.deadline = trio.current_time() + left
