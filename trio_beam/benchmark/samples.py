"""The worth of several answers to each problem: pass@k and maj@k against the tokens of k answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import attrs

from trio_beam.benchmark.records import Record
from trio_beam.benchmark.sets.answers import normal_form
from trio_beam.benchmark.statistics import Mean, maj_at_k, mean_of_problems, pass_at_k
from trio_beam.benchmark.summary import Batch, passes

#: Where answers are programs, no two of which are the same.
_NO_VOTES = ("humaneval",)


@attrs.frozen(kw_only=True)
class AtK:
    """A strategy with k answers to each problem.

    Attributes:
        tokens: generated tokens of k answers, mean of a problem.
        average: share of single answers that pass (avg@k); its error is that of all the answers there are.
        passed: whether one of k passes (pass@k).
        majority: whether the most frequent of k is right (maj@k); None where answers do not vote.
    """

    batch: Batch
    k: int
    tokens: float
    average: Mean
    passed: Mean
    majority: Mean | None


def at_each_k(batch: Batch) -> list[AtK]:
    """Return what 1, 2, 4, ... and all answers of a strategy to each problem are worth.

    Only problems with all their answers count; empty if nothing is graded.
    """
    graded = passes(batch)
    problems = [
        records
        for key, records in _by_problem(batch).items()
        if len(graded.get(key, ())) == len(records) == batch.samples
    ]
    return [_at(batch, problems, k) for k in _doubled(batch.samples)] if problems else []


def _by_problem(batch: Batch) -> dict[tuple[str, str], list[Record]]:
    found: dict[tuple[str, str], list[Record]] = {}
    for record in batch.records:
        found.setdefault((record.problem, record.digest), []).append(record)
    return found


def _doubled(most: int) -> Iterator[int]:
    k = 1
    while k < most:
        yield k
        k *= 2
    yield most


def _at(batch: Batch, problems: Sequence[Sequence[Record]], k: int) -> AtK:
    passed = [sum(one.passed is True for one in records) for records in problems]
    count = batch.samples
    votes = batch.benchmark not in _NO_VOTES
    tokens = sum(one.completion_tokens for records in problems for one in records)
    return AtK(
        batch=batch,
        k=k,
        tokens=k * tokens / (count * len(problems)),
        average=mean_of_problems([one / count for one in passed]),
        passed=mean_of_problems([pass_at_k(count, one, k) for one in passed]),
        majority=mean_of_problems([_majority(records, k) for records in problems])
        if votes
        else None,
    )


def _majority(records: Sequence[Record], k: int) -> float:
    forms = [None if one.answer is None else normal_form(one.answer) for one in records]
    votes = Counter(form for form in forms if form is not None)
    right = {form for form, one in zip(forms, records, strict=True) if one.passed}
    return maj_at_k(list(votes.values()), [form in right for form in votes], forms.count(None), k)
