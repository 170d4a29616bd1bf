"""Show a run's progress: a line per strategy on a terminal, a line per problem elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import trio
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TimeElapsedColumn,
)
from rich.text import Text

from trio_beam.benchmark.records import Record
from trio_beam.benchmark.run import RunObserver
from trio_beam.benchmark.strategies import LabelledStrategy
from trio_beam.command.output import format_duration
from trio_beam.core.printable import printable


@contextmanager
def progress(console: Console, out: Console | None = None) -> Iterator[RunObserver]:
    """Show the progress of a run inside the ``with`` block.

    Args:
        console: for progress.
        out: for the debug lines of searches; None: the same. On a terminal they appear above the bars.
    """
    out = console if out is None else out
    if not console.is_terminal:
        yield Lines(console, out)
        return
    columns = (
        SpinnerColumn(finished_text="✓"),
        _Strategy(),
        BarColumn(bar_width=10),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bars:
        yield _Bars(bars, bars.console if out.is_terminal else out)


class ProgressStats:
    """Counts of one strategy, with an estimate of the time left."""

    def __init__(self, strategy: LabelledStrategy, total: int, before: Sequence[Record]) -> None:
        self.label = strategy.label
        self.total = total
        self.done = len(before)
        self.passed = sum(record.passed is True for record in before)
        self.ungraded = sum(record.passed is None for record in before)
        self.failed = sum(bool(record.error) for record in before)
        self._now = 0
        self._tokens = 0
        # Kept, since the display is drawn in a thread, where Trio does not know its clock.
        self._clock = trio.lowlevel.current_clock()
        self._start = self._clock.current_time()
        self._end: float | None = None

    def count(self, record: Record) -> None:
        """Count a record."""
        self.done += 1
        self._now += 1
        self.passed += record.passed is True
        self.ungraded += record.passed is None
        self.failed += bool(record.error)
        if self.done == self.total:
            self._end = self._clock.current_time()

    def count_tokens(self, tokens: int) -> None:
        """Count tokens that a search has generated, finished or not."""
        self._tokens += tokens

    def __str__(self) -> str:
        """Passed, failed, tokens, tokens per second and time left."""
        now = self._clock.current_time() if self._end is None else self._end
        seconds = now - self._start
        said = [f"{self.passed} passed" if not self.ungraded else "not graded"]
        if self.failed:
            said.append(f"{self.failed} failed")
        said.append(f"{self._tokens:,} tokens")
        if seconds > 0:
            said.append(f"{self._tokens / seconds:,.0f} tokens/s")
        if self._now and (left := self.total - self.done):
            said.append(f"{format_duration(left * seconds / self._now)} left")
        return ", ".join(said)


class _Strategy(ProgressColumn):
    """The name of a strategy, and below it how it stands at this moment."""

    def render(self, task: Task) -> Text:
        """Draw the cell; called several times a second, in a thread."""
        stats = task.fields["stats"]
        below = "" if stats is None else f"\n{stats}"
        return Text.assemble(task.description, (below, "dim"), overflow="fold")


class _Bars:
    """A line for each strategy, with a bar; one that only turns until the first begins."""

    def __init__(self, bars: Progress, out: Console) -> None:
        self._bars = bars
        self._out = out
        self._task: TaskID = bars.add_task("getting ready", total=None, stats=None)
        self._stats: ProgressStats | None = None

    def begin(self, strategy: LabelledStrategy, total: int, before: Sequence[Record]) -> None:
        if self._stats is None:
            self._bars.remove_task(self._task)
        self._stats = ProgressStats(strategy, total, before)
        self._task = self._bars.add_task(
            strategy.label, total=total, completed=self._stats.done, stats=self._stats
        )

    def generated(self, tokens: int) -> None:
        assert self._stats is not None
        self._stats.count_tokens(tokens)

    def finished(self, record: Record) -> None:
        assert self._stats is not None
        self._stats.count(record)
        self._bars.update(self._task, completed=self._stats.done)
        if record.error:
            self.say(f"{record.problem}: {record.error}")

    def say(self, line: str) -> None:
        _print(self._bars.console, line)

    def debug(self, lines: Sequence[str]) -> None:
        _print(self._out, *lines)


class Lines:
    """A line per problem: for files, pipes and logs."""

    def __init__(self, console: Console, out: Console) -> None:
        self._console = console
        self._out = out
        self._stats: ProgressStats | None = None

    def begin(self, strategy: LabelledStrategy, total: int, before: Sequence[Record]) -> None:
        """Print how much there is to do."""
        self._stats = ProgressStats(strategy, total, before)
        there = f", {len(before)} of them already there" if before else ""
        problems = total // strategy.samples
        each = f", {strategy.samples} answers to each" if strategy.samples > 1 else ""
        self.say(f"{strategy.label}: {problems} problem{'' if problems == 1 else 's'}{each}{there}")

    def generated(self, tokens: int) -> None:
        """Count them, for the next line."""
        assert self._stats is not None
        self._stats.count_tokens(tokens)

    def finished(self, record: Record) -> None:
        """Print the outcome of a problem."""
        assert self._stats is not None
        self._stats.count(record)
        self.say(
            f"{self._stats.label}: {self._stats.done}/{self._stats.total} {record.problem}"
            f" {verdict(record)} ({record.seconds:.1f} s); {self._stats}"
        )

    def say(self, line: str) -> None:
        """Print a line."""
        _print(self._console, line)

    def debug(self, lines: Sequence[str]) -> None:
        """Print the debug lines of a search."""
        _print(self._out, *lines)


def verdict(record: Record) -> str:
    """Describe the outcome of a problem in a few words."""
    if record.error:
        return f"failed: {record.error}"
    if record.passed is None:
        return "answered"
    return "passed" if record.passed else "did not pass"


def _print(console: Console, *lines: str) -> None:
    for line in lines:
        console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
