"""Summarise records: a row per strategy, and a comparison of each pair of strategies."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from statistics import fmean

import attrs

from trio_beam.benchmark.records import Record
from trio_beam.benchmark.statistics import (
    Interval,
    holm,
    mcnemar,
    mean_of_problems,
    paired_difference,
    wilson,
)
from trio_beam.core.price import add_dollars


@attrs.frozen(kw_only=True)
class Batch:
    """One strategy of a run with its records.

    Attributes:
        wanted: number of answers; an interrupted run has fewer records.
        samples: number of answers to each problem.
        width: number of beams, samples, particles or chains of the strategy.
        configuration: configuration digest of its records.
        settings: swept keys of this strategy, such as ``beam_search.alpha=2.0``.
    """

    benchmark: str
    model: str
    strategy: str
    label: str
    width: int
    configuration: str
    wanted: int
    records: Sequence[Record] = attrs.field(repr=False)
    settings: str = ""
    samples: int = 1


@attrs.frozen(kw_only=True)
class Row:
    """The row of a strategy.

    Attributes:
        problems: number of records, failures included: of each problem as many as it has answers.
        graded: number that the pass rate is of: those with a grade, and failures; 0 if no answer has a grade.
        passed: None if none is graded.
        pass_rate: passed of graded, 0 to 1; None as for `passed`.
        interval: 95 % interval of the pass rate, clustered by problem if there are several answers to each.
        seconds: mean of a problem; None if there are no problems.
        total_tokens: prompts and completions, all requests together.
        generated_tokens: completions alone.
        failures: problems without an answer, or whose grading broke.
        cost: in US dollars, of all requests whose price is known; None if no price is known.
        uncertain_cost: the part of it that is an upper bound.
        unpriced: requests whose price is not known.
    """

    batch: Batch
    problems: int
    graded: int
    passed: int | None
    pass_rate: float | None
    interval: Interval | None
    seconds: float | None
    total_tokens: int
    generated_tokens: int
    failures: tuple[Record, ...] = attrs.field(repr=False)
    cost: float | None = None
    uncertain_cost: float = 0.0
    unpriced: int = 0

    @property
    def cost_per_problem(self) -> float | None:
        """Return the mean of the problems' costs; None if no price is known, or not of all problems."""
        return None if self.cost is None or self.unpriced else self.cost / self.problems

    @property
    def tokens_per_problem(self) -> float | None:
        """Return the mean of `total_tokens`; None if there are no problems."""
        return self.total_tokens / self.problems if self.problems else None


@attrs.frozen(kw_only=True)
class Pair:
    """Two strategies, compared on the problems for which both have a graded record.

    Attributes:
        difference: pass rate of the first minus that of the second, -1 to 1.
        interval: 95 % interval of the difference.
        p: p-value of McNemar's exact test.
        adjusted_p: `p` adjusted for all pairs of the table (Holm).
    """

    first: Batch
    second: Batch
    problems: int
    only_first: int
    only_second: int
    difference: float
    interval: Interval
    p: float
    adjusted_p: float = 1.0


def summarise(batch: Batch) -> Row:
    """Summarise the records of a strategy."""
    records = batch.records
    costs = [record.cost for record in records if record.cost is not None]
    graded = sum(map(len, passes(batch).values()))
    passed = sum(record.passed is True for record in records) if graded else None
    return Row(
        batch=batch,
        problems=len(records),
        graded=graded,
        passed=passed,
        pass_rate=None if passed is None else passed / graded,
        interval=None if passed is None else _interval(batch, passed, graded),
        seconds=sum(record.seconds for record in records) / len(records) if records else None,
        total_tokens=sum(one.prompt_tokens + one.completion_tokens for one in records),
        generated_tokens=sum(record.completion_tokens for record in records),
        failures=tuple(record for record in records if record.error),
        cost=add_dollars(*costs) if costs else None,
        uncertain_cost=add_dollars(*(one.uncertain_cost for one in records)),
        # A record without any price has no priced request: all of its are unpriced.
        unpriced=sum(one.requests if one.cost is None else one.unpriced for one in records),
    )


def compare(batches: Sequence[Batch]) -> list[Pair]:
    """Compare each pair of strategies with common graded problems of a benchmark and model."""
    pairs = [
        pair
        for first, second in itertools.combinations(batches, 2)
        if (first.benchmark, first.model) == (second.benchmark, second.model)
        and (pair := _pair(first, second)) is not None
    ]
    adjusted = holm([pair.p for pair in pairs])
    return [attrs.evolve(pair, adjusted_p=p) for pair, p in zip(pairs, adjusted, strict=True)]


def distinct(batches: Sequence[Batch]) -> list[Batch]:
    """Drop repetitions: the runs of a sweep share every strategy that it does not vary."""
    found: dict[tuple[str, str, int], Batch] = {}
    for batch in batches:
        found.setdefault((batch.strategy, batch.configuration, batch.wanted), batch)
    return list(found.values())


def names(batches: Sequence[Batch]) -> list[str]:
    """Return the labels, with swept keys appended to equal ones."""
    labels = [(batch.benchmark, batch.model, batch.label) for batch in batches]
    return [
        f"{batch.label} {batch.settings}".strip() if labels.count(label) > 1 else batch.label
        for batch, label in zip(batches, labels, strict=True)
    ]


def _pair(first: Batch, second: Batch) -> Pair | None:
    one, other = passes(first), passes(second)
    shared = one.keys() & other.keys()
    if not shared:
        return None
    if max(first.samples, second.samples) > 1:
        return _pair_of_means(first, second, [(one[key], other[key]) for key in shared])
    only_first = sum(one[key] > other[key] for key in shared)
    only_second = sum(other[key] > one[key] for key in shared)
    both = sum(all(one[key]) and all(other[key]) for key in shared)
    neither = len(shared) - both - only_first - only_second
    return Pair(
        first=first,
        second=second,
        problems=len(shared),
        only_first=only_first,
        only_second=only_second,
        difference=(only_first - only_second) / len(shared),
        interval=paired_difference(both, only_first, only_second, neither),
        p=mcnemar(only_first, only_second),
    )


def _pair_of_means(
    first: Batch, second: Batch, answers: Sequence[tuple[Sequence[bool], Sequence[bool]]]
) -> Pair:
    """Compare by the differences of a problem's two shares of passed answers."""
    differences = [fmean(one) - fmean(other) for one, other in answers]
    difference = mean_of_problems(differences)
    return Pair(
        first=first,
        second=second,
        problems=len(answers),
        only_first=sum(one > 0 for one in differences),
        only_second=sum(one < 0 for one in differences),
        difference=difference.value,
        interval=difference.interval(-1.0),
        p=difference.p,
    )


def _interval(batch: Batch, passed: int, graded: int) -> Interval:
    if batch.samples == 1:
        return wilson(passed, graded)
    return mean_of_problems([fmean(one) for one in passes(batch).values()]).interval(0.0)


def passes(batch: Batch) -> dict[tuple[str, str], list[bool]]:
    """Return which answers to each graded problem passed, by its id and digest.

    Where no answer has a grade, failures alone are no measurement.
    """
    answers = [record for record in batch.records if not record.error]
    if answers and all(record.passed is None for record in answers):
        return {}
    found: dict[tuple[str, str], list[bool]] = {}
    for record in batch.records:
        if record.passed is not None:
            found.setdefault((record.problem, record.digest), []).append(record.passed)
    return found
