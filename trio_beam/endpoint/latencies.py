"""The latest latencies of an endpoint. Pure."""

from __future__ import annotations

import bisect
from collections import deque

#: Latencies that are remembered, and the least number that have a quantile.
_WINDOW = 256
_MIN_COUNT = 20


class Latencies:
    """The latencies of the last responses, in seconds."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque()
        self._sorted: list[float] = []

    def add(self, seconds: float) -> None:
        """Note one."""
        if len(self._recent) == _WINDOW:
            oldest = self._recent.popleft()
            del self._sorted[bisect.bisect_left(self._sorted, oldest)]
        self._recent.append(seconds)
        bisect.insort(self._sorted, seconds)

    def quantile(self, share: float) -> float | None:
        """Return the latency that such a share of the responses did not exceed; None if they are too few.

        No more than twice the median, so that stragglers, should they be more than the rest of the
        share, do not pass for what is usual.
        """
        count = len(self._sorted)
        if count < _MIN_COUNT:
            return None
        quantile = self._sorted[min(count - 1, int(share * count))]
        return min(quantile, 2 * self._sorted[count // 2])
