"""How far a run is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

from trio_beam.batch.folder import Answer
from trio_beam.command.output import format_duration
from trio_beam.command.pace import Pace
from trio_beam.core.events import Observer
from trio_beam.core.printable import printable
from trio_beam.observers.progress import Moment, Pacer

#: Seconds of a pause that is worth a line.
_LONG_PAUSE = 5.0
#: Failures that are shown one by one.
_SHOWN = 20


@contextmanager
def progress(console: Console, total: int, *, quiet: bool) -> Iterator[BatchProgress]:
    """Show the progress of a run inside the ``with`` block.

    Args:
        console: on standard error.
        total: number of prompts to search.
        quiet: whether to count only.
    """
    if quiet or not console.is_terminal:
        yield BatchProgress(None if quiet else console, total)
        return
    columns = (BarColumn(bar_width=20), MofNCompleteColumn(), TimeElapsedColumn(), Moment())
    with Progress(*columns, console=console) as bars:
        yield BatchProgress(bars.console, total, bars)


class BatchProgress:
    """Counts outcomes and tokens, and shows them."""

    def __init__(self, console: Console | None, total: int, bars: Progress | None = None) -> None:
        self.failed = 0
        self._pace = Pace(total, unit="prompts")
        self._console = console
        self._bars = bars
        self._task = None if bars is None else bars.add_task("", total=total, words=self._words)
        self._pacer = Pacer(self._pace.clock, at_once=0)
        self._paused_until = -math.inf

    def begin(self) -> None:
        """Count the time from now."""
        self._pace.begin()

    @property
    def done(self) -> int:
        """Number of prompts with an outcome."""
        return self._pace.done

    def watch(self) -> Observer:
        """Return the observer of another search, which tells what is being waited for."""
        return self._pace.activity.watch()

    def generated(self, tokens: int) -> None:
        """Count tokens that some search has generated."""
        self._pace.tokens += tokens

    def paused(self, seconds: float) -> None:
        """Say, once for each pause that is long enough to wonder about, that the rate is kept."""
        now = self._pace.clock()
        if seconds >= _LONG_PAUSE and now >= self._paused_until:
            self._paused_until = now + seconds
            self.say(f"paused for the rate: {format_duration(seconds)}")

    def finished(self, answer: Answer) -> None:
        """Count an outcome, and show how far the run is."""
        self._pace.finished(answer)
        if answer.error:
            self.failed += 1
            if self.failed <= _SHOWN:
                more = "; further failures are only counted" if self.failed == _SHOWN else ""
                self.say(f"{answer.id}: {answer.error}{more}")
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, completed=self.done)
        elif self.done == self._pace.total or self._pacer.allows():
            self.say(f"{self.done} of {self._pace.total} prompts; {self}")

    async def report(self) -> None:
        """Where nothing is drawn, say what is being waited for when nothing else was said for a while."""
        if self._bars is None:
            await self._pacer.report(
                self._pace.activity, lambda words: f"{words}; {self}", self.say
            )

    def say(self, line: str) -> None:
        """Show a line, unless quiet."""
        if self._console is not None:
            self._console.print(printable(line), markup=False, highlight=False, soft_wrap=True)

    def _words(self) -> str:
        return "\n".join(filter(None, (str(self), self._pace.activity.waiting())))

    def __str__(self) -> str:
        """Failures, tokens, rates, cost and time left."""
        return f"{self.failed} failed, {self._pace}" if self.failed else str(self._pace)
