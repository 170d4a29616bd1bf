"""Summarise records: a row per strategy, and a comparison of each pair of strategies."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import attrs

from trio_beam.benchmark.records import Record
from trio_beam.benchmark.statistics import Interval, holm, mcnemar, paired_difference, wilson


@attrs.frozen(kw_only=True)
class Batch:
    """One strategy of a run with its records.

    Attributes:
        wanted: number of problems; an interrupted run has fewer records.
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


@attrs.frozen(kw_only=True)
class Row:
    """The row of a strategy.

    Attributes:
        problems: number of problems with a record, including failures.
        passed: number of problems passed; None if some answers were not graded.
        pass_rate: passed / problems, 0 to 1; None as for `passed`, or without problems.
        interval: 95 % interval of the pass rate.
        seconds: mean per problem.
        total_tokens: prompt and completion tokens, over all requests.
        generated_tokens: completion tokens alone.
        failures: number of problems without an answer, or whose grading failed.
    """

    batch: Batch
    problems: int
    passed: int | None
    pass_rate: float | None
    interval: Interval | None
    seconds: float
    total_tokens: int
    generated_tokens: int
    failures: tuple[Record, ...] = attrs.field(repr=False)

    @property
    def tokens_per_problem(self) -> float:
        """Mean of `total_tokens` per problem."""
        return self.total_tokens / self.problems if self.problems else 0.0


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
    graded = all(record.passed is not None for record in records)
    passed = sum(record.passed is True for record in records) if graded else None
    known = passed is not None and bool(records)
    return Row(
        batch=batch,
        problems=len(records),
        passed=passed,
        pass_rate=passed / len(records) if passed is not None and records else None,
        interval=wilson(passed, len(records)) if passed is not None and known else None,
        seconds=sum(record.seconds for record in records) / len(records) if records else 0.0,
        total_tokens=sum(one.prompt_tokens + one.completion_tokens for one in records),
        generated_tokens=sum(record.completion_tokens for record in records),
        failures=tuple(record for record in records if record.error),
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
    one, other = _passes(first), _passes(second)
    shared = one.keys() & other.keys()
    if not shared:
        return None
    only_first = sum(one[key] and not other[key] for key in shared)
    only_second = sum(other[key] and not one[key] for key in shared)
    both = sum(one[key] and other[key] for key in shared)
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


def _passes(batch: Batch) -> dict[tuple[str, str], bool]:
    return {
        (record.problem, record.digest): record.passed
        for record in batch.records
        if record.passed is not None
    }
