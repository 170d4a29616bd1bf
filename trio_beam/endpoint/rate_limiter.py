"""Wait until a request may be sent within the endpoint's rates.

The waiting requests of all searches stand in one queue, in which the searches take turns; the first waits
for room, so that no stream of small requests can starve a large one. Nothing is held while waiting. Processes
that share the rate are served in the order in which the first of their requests began to wait.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncGenerator, Hashable, Iterable
from contextlib import asynccontextmanager, suppress

import trio

from trio_beam.core.language_model import RequestContext
from trio_beam.core.request_events import RatePaused
from trio_beam.dialects.common.rate_headers import read_quotas
from trio_beam.endpoint.limiter import FairLimiter
from trio_beam.endpoint.rate_file import POLL, Board, Own, RateFile
from trio_beam.endpoint.rates import Admission, RateWindow, Wait
from trio_beam.errors import ConfigError, RequestTooLarge

#: Maximum number of seconds until the next attempt to lock the file.
_AGAIN = 0.005


class RateLimiter:
    """Admits the requests of an endpoint.

    Args:
        requests: per minute; None: unlimited, or learnt.
        tokens: prompt and completion tokens per minute; None: unlimited, or learnt.
        file: shared with other processes; None: there are none.
    """

    def __init__(
        self,
        requests: int | None = None,
        tokens: int | None = None,
        file: RateFile | None = None,
    ) -> None:
        self.window = RateWindow(requests, tokens)
        self._file = file
        self._turns = FairLimiter(1)
        self._changed = trio.Event()
        self._resume = 0.0
        self._since: float | None = None  # since when the first of the queue waits, and
        self._tokens = 0  # what it may cost
        self._wait: Wait | None = None  # what for
        self._told: set[Hashable] = set()
        self._last: tuple[float, float] | None = None

    def is_limited(self) -> bool:
        """Whether there is anything to wait for."""
        return self.window.limited or self._file is not None

    @property
    def waiting(self) -> int:
        """Number of requests that wait for the rate."""
        return self._turns.waiting + (self._wait is not None)

    def open(self) -> None:
        """Begin, perhaps under another `trio.run`, whose clock begins anywhere.

        Raises:
            ConfigError: the file cannot be used.
        """
        now = trio.current_time()
        if self._last is not None:
            then, clock = self._last
            self.window.shift(now - (then + time.monotonic() - clock))
        self._last = None
        self._turns = FairLimiter(1)
        self._resume = 0.0
        if self._file is not None:
            with self._file.locked(now):
                pass

    def close(self) -> None:
        """Note when it was, and leave in the file what is known."""
        self._last = (trio.current_time(), time.monotonic())
        self._share()

    def check(self, tokens: int) -> None:
        """Raise `RequestTooLarge` if a request costs more than a minute has.

        Args:
            tokens: that it costs at least, if all are generated that it asks for.
        """
        limit = self.window.limit("tokens", declared=True)
        if tokens > limit:
            raise RequestTooLarge(
                f"one request may cost {tokens:,} tokens (prompt and new ones), but tokens_per_minute is"
                f" {limit:,.0f}: ask for fewer tokens at once (tokens_per_step, max_tokens) or fewer"
                " continuations (n, n_per_beam), or raise the limit (--tpm)"
            )

    def try_admit(self, tokens: int, *, first: bool = False) -> Admission | None:
        """Count a request if it may be sent now; it has to be sent at once.

        Args:
            tokens: that it may cost.
            first: whether it is the first of the queue; others are not let past a queue.

        Raises:
            ConfigError: the file cannot be used.
        """
        if not first and self._turns.in_flight:
            return None
        now = trio.current_time()
        if self._file is None:
            return None if self.window.wait(tokens, now) else self.window.admit(tokens, now)
        with self._file.locked(now) as board:
            if board is None or self._look(board, tokens, now) is not None:
                return None
            self._since = None
            admission = self.window.admit(tokens, now)
            board.write(self._own())
        return admission

    @asynccontextmanager
    async def turn(self, context: RequestContext) -> AsyncGenerator[None]:
        """Wait in the queue, and be its first inside the block."""
        if not self._turns.try_acquire():
            self._tell(context)
            await self._turns.acquire(context.meter)
        try:
            yield
        finally:
            if self._since is not None:  # cancelled
                self._since = None
                self._share()
            self._wait = None
            self._told.clear()
            self._turns.release()

    async def wait_for_room(self, tokens: int, context: RequestContext) -> None:
        """Wait until a request may be sent, as the first of the queue.

        Raises:
            ConfigError: the file cannot be used.
        """
        await trio.lowlevel.checkpoint()
        if self._since is None:
            self._since, self._tokens = trio.current_time(), tokens
        while True:
            self._changed = trio.Event()
            until = self._examine(tokens)
            if until is None:
                return
            self._tell(context)
            with trio.move_on_at(until):
                await self._changed.wait()

    def responded(self, admission: Admission | None) -> None:
        """Note that a request has reached the server, or was given up."""
        if admission is not None:
            self.window.responded(admission, trio.current_time())
            self._changed.set()

    def settle(self, admission: Admission | None, tokens: int) -> None:
        """Note the true cost of a request."""
        if admission is not None:
            self.window.settle(admission, tokens)
            self._changed.set()
            self._share()

    def withdraw(self, admission: Admission | None) -> None:
        """Give back a request that was not sent."""
        if admission is not None:
            self.window.withdraw(admission)
            self._changed.set()
            self._share()

    def learn(self, headers: Iterable[tuple[bytes, bytes]], admission: Admission | None) -> None:
        """Learn from the headers of a response to a request."""
        named = [(name, value) for name, value in headers if b"limit" in name.lower()]
        if named and (quotas := read_quotas(named, time.time())):
            self.window.learn(quotas, admission, trio.current_time())
            self._changed.set()

    def pause(self, until: float) -> None:
        """Tell the other processes that the server wants no requests before a time."""
        self._resume = until
        self._share()

    def _examine(self, tokens: int) -> float | None:
        """Return when to look again whether there is room, unless something changes; None: there is."""
        now = trio.current_time()
        if self._file is None:
            self._wait = self.window.wait(tokens, now)
            return self._wait and self._wait.until
        with self._file.locked(now) as board:
            if board is None:
                return now + random.uniform(0, _AGAIN)
            self._wait = self._look(board, tokens, now)
            board.write(self._own())
        return self._wait and min(self._wait.until, now + POLL)

    def _look(self, board: Board, tokens: int, now: float) -> Wait | None:
        others = board.others(self._since)
        self.window.others = others.sent
        wait = self.window.wait(tokens, now)
        if others.resume > max(now, wait.until if wait else now):
            return Wait(others.resume, "requests")
        return wait

    def _own(self) -> Own:
        return Own(
            sent=self.window.sent(), resume=self._resume, since=self._since, tokens=self._tokens
        )

    def _share(self) -> None:
        """Write what changed, if no other process has the file just now; else it is written the next time."""
        if self._file is not None:
            with suppress(ConfigError), self._file.locked(trio.current_time()) as board:
                if board is not None:
                    board.write(self._own())

    def _tell(self, context: RequestContext) -> None:
        """Tell a search, once, that its requests wait."""
        if self._wait is not None and context.meter not in self._told:
            self._told.add(context.meter)
            seconds = max(0.0, self._wait.until - trio.current_time())
            context.emit(RatePaused(seconds=seconds, limit=self._wait.limit))
