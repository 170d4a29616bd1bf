"""How far a run is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import trio
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from trio_beam.batch.folder import Answer
from trio_beam.command.output import format_duration
from trio_beam.core.printable import printable

#: Seconds between two lines where there is no terminal.
_EVERY = 10.0
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
    columns = (
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console) as bars:
        yield BatchProgress(bars.console, total, bars)


class BatchProgress:
    """Counts outcomes and tokens, and shows them."""

    def __init__(self, console: Console | None, total: int, bars: Progress | None = None) -> None:
        self.total = total
        self.done = 0
        self.failed = 0
        self.tokens = 0
        self._console = console
        self._bars = bars
        self._task = None if bars is None else bars.add_task("", total=total)
        self.begin()

    def begin(self) -> None:
        """Count the time from now."""
        self._start = self._shown = trio.current_time()
        self._paused_until = -math.inf

    def generated(self, tokens: int) -> None:
        """Count tokens that some search has generated."""
        self.tokens += tokens

    def paused(self, seconds: float) -> None:
        """Say, once for each pause that is long enough to wonder about, that the rate is kept."""
        now = trio.current_time()
        if seconds >= _LONG_PAUSE and now >= self._paused_until:
            self._paused_until = now + seconds
            self.say(f"paused for the rate: {format_duration(seconds)}")

    def finished(self, answer: Answer) -> None:
        """Count an outcome, and show how far the run is."""
        self.done += 1
        if answer.error:
            self.failed += 1
            if self.failed <= _SHOWN:
                more = "; further failures are only counted" if self.failed == _SHOWN else ""
                self.say(f"{answer.id}: {answer.error}{more}")
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, completed=self.done, description=str(self))
        elif trio.current_time() - self._shown >= _EVERY or self.done == self.total:
            self._shown = trio.current_time()
            self.say(f"{self.done} of {self.total} prompts; {self}")

    def say(self, line: str) -> None:
        """Show a line, unless quiet."""
        if self._console is not None:
            self._console.print(printable(line), markup=False, highlight=False, soft_wrap=True)

    def __str__(self) -> str:
        """Failures, tokens, rates and time left."""
        seconds = trio.current_time() - self._start
        said = [f"{self.failed} failed"] if self.failed else []
        said.append(f"{self.tokens:,} tokens")
        if seconds > 0:
            said.append(
                f"{self.done / seconds:,.1f} prompts/s, {self.tokens / seconds:,.0f} tokens/s"
            )
        if self.done and self.done < self.total:
            said.append(f"{format_duration((self.total - self.done) * seconds / self.done)} left")
        return ", ".join(said)
