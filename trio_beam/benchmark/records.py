"""The records of runs: one for each problem with each strategy, in a file of the run's folder."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from trio_beam.benchmark.common.problem import Problem
from trio_beam.records import SearchRecord
from trio_beam.records.identity import digest_of


class Key(NamedTuple):
    """Identifies a record by problem, strategy and configuration."""

    problem: str
    digest: str
    strategy: str
    configuration: str
    sample: int = 0


class Record(SearchRecord, frozen=True, kw_only=True, gc=False):
    """The outcome of a problem with a strategy.

    Attributes:
        problem: id of the problem.
        digest: of the problem's prompt and reference.
        strategy: kind of the strategy, such as ``beam_search``.
        label: its display name.
        configuration: digest of everything else that the answer depends on.
        sample: number of the answer, from 0: a strategy may answer a problem several times.
        text: the complete answer.
        passed: None if not graded.
        score: grade, from 0 to 1; None if not graded.
        answer: the answer that the grading found in the text.
        detail: why it did not pass.
        search_score: the search's score in nats; None if it has none.
        round_scores: the best score of each round, in nats.
        meta: metadata of the problem.
    """

    problem: str
    digest: str
    strategy: str
    label: str
    configuration: str
    text: str
    passed: bool | None
    # Other fields may be missing in records of another version.
    sample: int = 0
    score: float | None = None
    answer: str | None = None
    detail: str = ""
    search_score: float | None = None
    round_scores: list[float | None] = msgspec.field(default_factory=list)
    meta: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def key(self) -> Key:
        """The key that identifies it."""
        return Key(self.problem, self.digest, self.strategy, self.configuration, self.sample)


def digest_of_problem(problem: Problem) -> str:
    """Return a digest of a problem's prompt and reference."""
    return digest_of({"prompt": problem.prompt, "reference": problem.reference})
