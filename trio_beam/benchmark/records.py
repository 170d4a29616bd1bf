"""The records of runs: one for each problem with each strategy, in a file of the run's folder."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from trio_beam.benchmark.common.problem import Problem
from trio_beam.records.identity import digest_of


class Key(NamedTuple):
    """Identifies a record by problem, strategy and configuration."""

    problem: str
    digest: str
    strategy: str
    configuration: str
    sample: int = 0


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The outcome of a problem with a strategy.

    Attributes:
        problem: id of the problem.
        digest: of the problem's prompt and reference.
        strategy: kind of the strategy, such as ``beam_search``.
        label: its display name.
        configuration: digest of everything else that the answer depends on.
        sample: number of the answer, from 0: a strategy may answer a problem several times.
        seed: of the search; None: the server's own randomness.
        text: the complete answer.
        passed: None if not graded.
        score: grade, from 0 to 1; None if not graded.
        answer: the answer that the grading found in the text.
        detail: why it did not pass.
        search_score: the search's score in nats; None if it has none.
        round_scores: the best score of each round, in nats.
        rounds: number of completed rounds.
        prompt_tokens: by the server's count, over all requests.
        completion_tokens: generated tokens, including those of dropped beams.
        cached_tokens: prompt tokens that the server has read from its cache; None if unknown.
        requests: requests sent.
        cost: in US dollars, of all requests whose price is known; None if no price is known.
        uncertain_cost: the part of it that is an upper bound, for requests without a complete response.
        unpriced: requests whose price is not known, where that of others is.
        cached_responses: responses from the cache, which were not sent.
        seconds: duration of the search, with other problems running; without grading.
        stop_reason: the search's; ``"failed"`` after an error.
        exact: whether all scores are the model's own for the sampled tokens.
        error: why there is no answer, or why grading failed; "" on success.
        votes: each answer's share of the votes, if there was a vote.
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
    seed: int | None = None
    score: float | None = None
    answer: str | None = None
    detail: str = ""
    search_score: float | None = None
    round_scores: list[float | None] = []
    rounds: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int | None = None
    requests: int = 0
    cost: float | None = None
    uncertain_cost: float = 0.0
    unpriced: int = 0
    cached_responses: int = 0
    seconds: float = 0.0
    stop_reason: str = ""
    exact: bool = True
    error: str = ""
    votes: list[tuple[str, float]] = []
    meta: dict[str, Any] = {}

    @property
    def key(self) -> Key:
        """The key that identifies it."""
        return Key(self.problem, self.digest, self.strategy, self.configuration, self.sample)


def digest_of_problem(problem: Problem) -> str:
    """Return a digest of a problem's prompt and reference."""
    return digest_of({"prompt": problem.prompt, "reference": problem.reference})
