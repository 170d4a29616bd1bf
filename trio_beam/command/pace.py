"""How far a run of many searches is: the same for batches and for benchmarks."""

from __future__ import annotations

from typing import Protocol

import trio

from trio_beam.command.output import format_duration
from trio_beam.core.usage import Usage
from trio_beam.observers.activity import Activity


class Priced(Protocol):
    """A record of a search."""

    @property
    def requests(self) -> int:
        """Number of requests."""

    @property
    def cost(self) -> float | None:
        """In US dollars; None if no price is known."""

    @property
    def uncertain_cost(self) -> float:
        """The part of it that is an upper bound."""

    @property
    def unpriced(self) -> int:
        """Number of requests whose price is not known, where that of others is."""


class Pace:
    """Counts what is done, with the rate, the cost, the time left, and what is being waited for.

    Attributes:
        total: number of searches.
        done: number of those that are done.
        tokens: generated so far, also by searches that are under way.
        activity: what is being waited for.
    """

    def __init__(self, total: int, *, done: int = 0, unit: str = "") -> None:
        self.total = total
        self.done = done
        self.tokens = 0
        self._before = done
        self._unit = unit
        self._usage = Usage()
        # Kept, since a display is drawn in a thread, where Trio does not know its clock.
        self.clock = trio.lowlevel.current_clock().current_time
        self.activity = Activity(self.clock)
        self.begin()
        self._end: float | None = None

    def begin(self) -> None:
        """Count the time from now."""
        self._start = self.clock()

    def finished(self, record: Priced) -> None:
        """Count a search that is done, and its cost."""
        self.done += 1
        self._usage += Usage(
            cost=record.cost,
            uncertain_cost=record.uncertain_cost,
            # A record without any price has no priced request.
            unpriced=record.requests if record.cost is None else record.unpriced,
        )
        if self.done == self.total:
            self._end = self.clock()

    def __str__(self) -> str:
        """Tokens, rates, cost and time left."""
        seconds = (self.clock() if self._end is None else self._end) - self._start
        now = self.done - self._before
        said = [f"{self.tokens:,} tokens"]
        if seconds > 0 and self._before < self.total:
            said += [_rate(now / seconds, self._unit)] if self._unit else []
            said.append(f"{self.tokens / seconds:,.0f} tokens/s")
        said.append(self._usage.price_in_words)
        if now and (left := self.total - self.done):
            said.append(f"{format_duration(left * seconds / now)} left")
        return ", ".join(filter(None, said))


def _rate(a_second: float, unit: str) -> str:
    """Write a rate, of few by the minute or the hour: 0.0 a second says nothing."""
    for seconds, name in ((1, "s"), (60, "min")):
        if a_second == 0 or a_second * seconds >= 0.5:
            return f"{a_second * seconds:,.1f} {unit}/{name}"
    return f"{a_second * 3600:,.1f} {unit}/h"
