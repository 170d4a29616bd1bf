"""Recent latencies of an endpoint. Pure."""

from __future__ import annotations

import bisect
from collections import deque

#: Number of latencies remembered, and the minimum needed for a quantile.
_WINDOW = 256
_MIN_COUNT = 20


class Latencies:
    """Latencies of the most recent responses, in seconds."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque()
        self._sorted: list[float] = []

    def add(self, seconds: float) -> None:
        """Add a latency."""
        if len(self._recent) == _WINDOW:
            oldest = self._recent.popleft()
            del self._sorted[bisect.bisect_left(self._sorted, oldest)]
        self._recent.append(seconds)
        bisect.insort(self._sorted, seconds)

    def quantile(self, share: float) -> float | None:
        """Return a quantile of the latencies, at most twice the median; None if there are too few.

        The bound keeps frequent stragglers from counting as normal.
        """
        count = len(self._sorted)
        if count < _MIN_COUNT:
            return None
        quantile = self._sorted[min(count - 1, int(share * count))]
        return min(quantile, 2 * self._sorted[count // 2])
