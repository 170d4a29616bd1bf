"""The deadline of a beam's request, paused while it waits for a free slot."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import trio


class PausableDeadline:
    """Moves the deadline of a cancel scope so that waiting for a slot does not count.

    The time runs from the moment it is made, also while a request waits to be repeated.

    Args:
        scope: its deadline belongs to this object.
        seconds: the time allowed; infinity for no limit.
    """

    def __init__(self, scope: trio.CancelScope, seconds: float) -> None:
        self._scope = scope
        scope.deadline = trio.current_time() + seconds

    @property
    def remaining(self) -> float:
        """Seconds left; infinity while it is paused."""
        return self._scope.deadline - trio.current_time()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the time while the block runs."""
        left = self.remaining
        self._scope.deadline = math.inf
        try:
            yield
        finally:
            self._scope.deadline = trio.current_time() + left
