"""Show a run's progress: a line per strategy on a terminal, a line per problem elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TimeElapsedColumn,
)

from trio_beam.benchmark.records import Record
from trio_beam.benchmark.strategies import LabelledStrategy
from trio_beam.command.pace import Pace
from trio_beam.core.events import Observer
from trio_beam.core.printable import printable
from trio_beam.observers.progress import Moment


@contextmanager
def progress(console: Console, out: Console | None = None) -> Iterator[_Bars | Lines]:
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
        Moment(),
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
        self.pace = Pace(total, done=len(before))
        self.passed = sum(record.passed is True for record in before)
        self.ungraded = sum(record.passed is None for record in before)
        self.failed = sum(bool(record.error) for record in before)

    def count(self, record: Record) -> None:
        """Count a record."""
        self.pace.finished(record)
        self.passed += record.passed is True
        self.ungraded += record.passed is None
        self.failed += bool(record.error)

    def words(self) -> str:
        """How it stands, and what is being waited for."""
        return "\n".join(filter(None, (str(self), self.pace.activity.waiting())))

    def __str__(self) -> str:
        """Passed, failed, tokens, tokens per second, cost and time left."""
        said = [f"{self.passed} passed" if not self.ungraded else "not graded"]
        if self.failed:
            said.append(f"{self.failed} failed")
        return ", ".join([*said, str(self.pace)])


class _Counting:
    """Keeps the counts of the strategy that began last."""

    _stats: ProgressStats | None = None

    def generated(self, tokens: int) -> None:
        """Count tokens that a search has generated, finished or not."""
        assert self._stats is not None
        self._stats.pace.tokens += tokens

    def watch(self) -> Observer:
        """Return the observer of another search, which tells what is being waited for."""
        assert self._stats is not None
        return self._stats.pace.activity.watch()


class _Bars(_Counting):
    """A line for each strategy, with a bar; one that only turns until the first begins."""

    def __init__(self, bars: Progress, out: Console) -> None:
        self._bars = bars
        self._out = out
        self._task: TaskID = bars.add_task("getting ready", total=None, words=lambda: "")

    def begin(self, strategy: LabelledStrategy, total: int, before: Sequence[Record]) -> None:
        if self._stats is None:
            self._bars.remove_task(self._task)
        self._stats = ProgressStats(strategy, total, before)
        self._task = self._bars.add_task(
            strategy.label, total=total, completed=len(before), words=self._stats.words
        )

    def finished(self, record: Record) -> None:
        assert self._stats is not None
        self._stats.count(record)
        self._bars.update(self._task, completed=self._stats.pace.done)
        if record.error:
            self.say(f"{record.problem}: {record.error}")

    def say(self, line: str) -> None:
        _print(self._bars.console, line)

    def debug(self, lines: Sequence[str]) -> None:
        _print(self._out, *lines)


class Lines(_Counting):
    """A line per problem: for files, pipes and logs."""

    def __init__(self, console: Console, out: Console) -> None:
        self._console = console
        self._out = out

    def begin(self, strategy: LabelledStrategy, total: int, before: Sequence[Record]) -> None:
        """Print how much there is to do."""
        self._stats = ProgressStats(strategy, total, before)
        there = f", {len(before)} of them already there" if before else ""
        problems = total // strategy.samples
        each = f", {strategy.samples} answers to each" if strategy.samples > 1 else ""
        self.say(f"{strategy.label}: {problems} problem{'' if problems == 1 else 's'}{each}{there}")

    def finished(self, record: Record) -> None:
        """Print the outcome of a problem."""
        assert self._stats is not None
        self._stats.count(record)
        self.say(
            f"{self._stats.label}: {self._stats.pace.done}/{self._stats.pace.total} {record.problem}"
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
