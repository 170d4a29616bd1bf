"""The records of runs: one for each problem with each strategy, in a file of the run's folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from trio_beam.benchmark.common.problem import Problem


class Key(NamedTuple):
    """Identifies a record: by the problem, the strategy and the configuration."""

    problem: str
    digest: str
    strategy: str
    configuration: str


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The outcome of a problem with a strategy.

    Attributes:
        problem: its id.
        digest: of the problem's prompt and reference.
        strategy: its kind, such as ``beam_search``.
        label: its name for people.
        configuration: digest of everything else that the answer depends on.
        seed: of the search; None: the server's own randomness.
        text: the answer, whole.
        passed: None if it was not graded.
        score: of the grading, 0 to 1; None if it was not graded.
        answer: found in the text by the grading.
        detail: why it did not pass.
        search_score: of the answer, in nats; None if it has none.
        round_scores: the best score of each round, in nats.
        rounds: rounds that were completed.
        prompt_tokens: as the server counted, all requests together.
        completion_tokens: tokens generated, those of beams that were dropped included.
        requests: requests sent.
        seconds: of the search, while other problems were under way; without the grading.
        stop_reason: the search's; ``"failed"`` with an error.
        exact: whether all scores are the model's own of the tokens sampled.
        error: why there is no answer, or why the grading broke; "" if all went well.
        votes: with a vote: each answer's share.
        meta: of the problem.
    """

    problem: str
    digest: str
    strategy: str
    label: str
    configuration: str
    text: str
    passed: bool | None
    # Whatever else there is may be missing in a record of another version.
    seed: int | None = None
    score: float | None = None
    answer: str | None = None
    detail: str = ""
    search_score: float | None = None
    round_scores: list[float | None] = []
    rounds: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    requests: int = 0
    seconds: float = 0.0
    stop_reason: str = ""
    exact: bool = True
    error: str = ""
    votes: list[tuple[str, float]] = []
    meta: dict[str, Any] = {}

    @property
    def key(self) -> Key:
        """The key that it is found by."""
        return Key(self.problem, self.digest, self.strategy, self.configuration)


def digest_of(value: Mapping[str, Any]) -> str:
    """Make a stable digest of a value that JSON can carry."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def digest_of_problem(problem: Problem) -> str:
    """Make a digest that changes if a problem with the same id has another prompt or reference."""
    return digest_of({"prompt": problem.prompt, "reference": problem.reference})
