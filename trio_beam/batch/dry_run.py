"""Estimate the cost of a whole run from its first prompts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs

from trio_beam.batch.folder import ANSWERS, FAILURES, Answer
from trio_beam.command.output import format_duration
from trio_beam.core.price import add_dollars, describe_cost, dollars
from trio_beam.core.statistics import sum_interval
from trio_beam.records import from_line


@attrs.define
class DryRun:
    """Takes the place of a run's folder, and estimates the rest.

    Attributes:
        path: of that folder, in which nothing is written.
        answers: the outcomes.
    """

    path: Path
    answers: list[Answer] = attrs.field(factory=list)

    def use_model(self, name: str) -> None:
        """Do nothing: there are no answers of another one."""

    def keep(self, answer: Answer) -> None:
        """Count an outcome."""
        self.answers.append(answer)

    def keep_cost(self, id: str, cost: float | None) -> None:  # noqa: A002  # a record's word
        """Do nothing: a dry run has no limit."""

    def sync(self) -> None:
        """Do nothing: there is no file."""

    def report(self, total: int, seconds: float, max_searches: int) -> Iterator[str]:
        """Yield lines about what was spent, and about what the whole run takes.

        Args:
            total: number of prompts of the whole run.
            seconds: that the dry run took.
            max_searches: maximum number of concurrent searches.
        """
        count = len(self.answers)
        failed = sum(bool(answer.error) for answer in self.answers)
        costs = [answer.cost for answer in self.answers if answer.cost is not None]
        spent = describe_cost(
            add_dollars(*costs) if costs else None,
            add_dollars(*(answer.uncertain_cost for answer in self.answers)),
            self._unpriced() if costs else 0,
        )
        parts = [f"{count:,} of {total:,} prompts in {format_duration(seconds)}", spent]
        parts.append(f"{failed:,} failed" if failed else "")
        yield f"dry run: {', '.join(filter(None, parts))}; nothing was written"
        yield "the whole run, if the others are like these (95 % in brackets):"
        yield f"  prompt tokens     {self._count('prompt_tokens', total)}{self._cached()}"
        yield f"  generated tokens  {self._count('completion_tokens', total)}"
        yield f"  requests          {self._count('requests', total)}"
        yield f"  cost              {self._cost(costs, total)}"
        yield f"  time              {self._time(total, max_searches)}"

    def _unpriced(self) -> int:
        return sum(one.requests if one.cost is None else one.unpriced for one in self.answers)

    def _count(self, name: str, total: int) -> str:
        values = [float(getattr(answer, name)) for answer in self.answers]
        whole, interval = sum_interval(values, total)
        between = "" if interval is None else f" [{interval[0]:,.0f}, {interval[1]:,.0f}]"
        return f"{whole:,.0f}{between}"

    def _cached(self) -> str:
        cached = [one.cached_tokens for one in self.answers if one.cached_tokens is not None]
        sent = sum(answer.prompt_tokens for answer in self.answers)
        return f", {sum(cached) / sent:.0%} of them cached" if cached and sent else ""

    def _cost(self, costs: list[float], total: int) -> str:
        if not costs:
            return "no price is known (--price-input and --price-output give one)"
        if self._unpriced():
            return "the price of some requests is not known"
        whole, interval = sum_interval(costs, total)
        between = "" if interval is None else f" [{dollars(interval[0])}, {dollars(interval[1])}]"
        return f"{dollars(whole)}{between}"

    def _time(self, total: int, max_searches: int) -> str:
        # The searches overlapped, so that their number does not matter but for that of the whole run.
        each = sum(answer.seconds for answer in self.answers) / len(self.answers)
        return f"about {format_duration(total * each / min(max_searches, total))}"


def done_before(folder: Path, *, failures: bool) -> Iterator[Answer]:
    """Yield what a run has written, without its lock.

    Args:
        folder: of the run; it need not exist.
        failures: whether those count as done.
    """
    for name in (ANSWERS, FAILURES) if failures else (ANSWERS,):
        path = folder / name
        if path.exists():
            with path.open("rb") as lines:
                for line in lines:
                    if (answer := from_line(line, Answer)) is not None:
                        yield answer
