"""Limits on requests and tokens per minute, kept on our side, as hosted accounts have them.

A request is admitted when the requests of the last minute leave room for it and for the tokens that it may
cost; until its true cost is known, all of those count. Any minute is within the limits, not only whole ones.
Waiting requests are admitted in the turn of their searches, so that a search of 200 beams does not starve
one of 2.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable

import attrs
import trio

from trio_beam.endpoint.limiter import FairLimiter

#: Seconds that a limit is about.
MINUTE = 60.0


@attrs.define(eq=False)
class Admission:
    """A request that was admitted.

    Attributes:
        at: when.
        tokens: that it may cost, later those that it has cost.
    """

    at: float
    tokens: int


class RateLimits:
    """The limits of an endpoint, and what was admitted in the last minute.

    Args:
        requests: per minute; None: no limit.
        tokens: prompt and completion tokens per minute; None: no limit.
    """

    def __init__(self, requests: int | None, tokens: int | None) -> None:
        self._requests = math.inf if requests is None else requests
        self._tokens = math.inf if tokens is None else tokens
        self._admitted: deque[Admission] = deque()
        self._turns = FairLimiter(1)
        self._changed = trio.Event()

    @property
    def limited(self) -> bool:
        """Whether there is any limit."""
        return math.isfinite(self._requests) or math.isfinite(self._tokens)

    def restart(self) -> None:
        """Forget what was admitted: its times are meaningless under another `trio.run`."""
        self._admitted.clear()
        self._turns = FairLimiter(1)

    async def admit(self, search: Hashable, tokens: int) -> Admission:
        """Wait until a request may be sent, and count it.

        A request that by itself may cost more tokens than a minute has is admitted when nothing else was:
        whether the server takes it is for the server to say.

        Args:
            search: whose turn it is.
            tokens: that the request may cost.
        """
        if not self._turns.try_acquire():
            await self._turns.acquire(search)
        try:
            while (until := self._full_until(tokens)) > trio.current_time():
                self._changed = trio.Event()
                with trio.move_on_at(until):
                    await self._changed.wait()
            admission = Admission(trio.current_time(), tokens)
            self._admitted.append(admission)
            return admission
        finally:
            self._turns.release()

    def settle(self, admission: Admission, tokens: int) -> None:
        """Note the true cost of a request."""
        admission.tokens = tokens
        self._changed.set()

    def _full_until(self, tokens: int) -> float:
        """Return when there is room for one more request with so many tokens."""
        now = trio.current_time()
        while self._admitted and self._admitted[0].at + MINUTE <= now:
            self._admitted.popleft()
        requests, spent = len(self._admitted), sum(one.tokens for one in self._admitted)
        until = now
        for one in self._admitted:  # the oldest leave first
            if requests < self._requests and (not requests or spent + tokens <= self._tokens):
                break
            requests, spent, until = requests - 1, spent - one.tokens, one.at + MINUTE
        return until
