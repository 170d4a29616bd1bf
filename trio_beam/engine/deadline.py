"""The deadline of a beam's request, paused while it waits for a slot."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import trio


class PausableDeadline:
    """Moves the deadline of a cancel scope so that waiting for a slot does not count.

    Time runs from creation, including waits between retries.

    Args:
        scope: the scope whose deadline this object manages.
        seconds: the time allowed; infinite for no limit.
    """

    def __init__(self, scope: trio.CancelScope, seconds: float) -> None:
        self._scope = scope
        scope.deadline = trio.current_time() + seconds

    @property
    def remaining(self) -> float:
        """Seconds left; infinite while paused."""
        return self._scope.deadline - trio.current_time()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Pause the deadline inside the ``with`` block."""
        left = self.remaining
        self._scope.deadline = math.inf
        try:
            yield
        finally:
            self._scope.deadline = trio.current_time() + left
