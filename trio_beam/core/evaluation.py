"""Requests about a round's candidates, between expansion and selection.

Rollouts that estimate candidates' futures, questions to a judge and scores by a reward model are rounds like
any other: sent concurrently, in cancel scopes, under the same limits. An `Evaluation` turns their outcomes
into a number per candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.events import EvaluationStarted, Purpose
from trio_beam.core.model_scorer import ModelScorer
from trio_beam.core.reward_scorer import RewardScorer
from trio_beam.core.steps import Expansion, Outcome, Round, Sampling
from trio_beam.core.strategy import Strategy
from trio_beam.errors import EndpointError

#: Turns the outcome for one candidate into a number, or raises an `EndpointError`.
Reader: TypeAlias = Callable[[Beam, Outcome], float]


@attrs.define(kw_only=True, eq=False)
class Evaluation:
    """A round of requests about candidates, and a number for each candidate.

    Attributes:
        round: the requests, one expansion per candidate.
        read: turns an outcome into a number.
        requests: number of requests it takes at least.
        ignored_error: exception type that means "no continuation", not a failure.
        values: the number of each candidate, by rank; None if it could not be obtained.
        stopped: whether a cancellation or failure ended the evaluation.
        exhausted: whether the budget prevented some requests.
        step_scores: of each candidate that a reward model has scored.
    """

    round: Round
    read: Reader
    requests: int = attrs.field()
    ignored_error: type[EndpointError] | None = None
    values: dict[int, float | None] = attrs.field(factory=dict, init=False)
    stopped: bool = attrs.field(default=False, init=False)
    exhausted: bool = attrs.field(default=False, init=False)
    step_scores: dict[Beam, tuple[float, ...]] = attrs.field(factory=dict, init=False)

    @requests.default
    def _one_per_candidate(self) -> int:
        return len(self.round.expansions)

    @property
    def missing(self) -> frozenset[int]:
        """Ranks whose outcomes are still awaited."""
        return frozenset(range(len(self.round.expansions))) - self.values.keys()

    @property
    def results(self) -> dict[Beam, float | None]:
        """The number of each candidate."""
        return {one.beam: self.values[one.rank] for one in self.round.expansions}

    @property
    def dropped(self) -> int:
        """Number of candidates without a value."""
        return sum(value is None for value in self.values.values())

    def receive(self, outcome: Outcome) -> list[EndpointError]:
        """Process the outcome for one candidate; return its failures."""
        self.exhausted = self.exhausted or outcome.exhausted
        self.stopped = self.stopped or outcome.cancelled
        errors = [error for error in outcome.errors if not self._is_ignored(error)]
        value: float | None = None
        beam = self.round.expansions[outcome.rank].beam
        if outcome.step_scores is not None:
            self.step_scores[beam] = outcome.step_scores
        something = outcome.continuations or outcome.step_scores is not None
        if something or len(errors) < len(outcome.errors):
            try:
                value = self.read(beam, outcome)
            except EndpointError as error:
                errors.append(error)
        self.values[outcome.rank] = value
        if errors and self.round.sampling.cancel_siblings:
            self.stopped = True
        return errors

    def _is_ignored(self, error: EndpointError) -> bool:
        return self.ignored_error is not None and isinstance(error, self.ignored_error)


def evaluation_round(
    number: int,
    purpose: Purpose,
    expansions: Sequence[Expansion],
    sampling: Sampling,
    scorer: ModelScorer | RewardScorer | None = None,
) -> Round:
    """Build a round of requests about candidates, with its event."""
    started = EvaluationStarted(
        round=number,
        purpose=purpose,
        candidates=len(expansions),
        samples=sum(expansion.n for expansion in expansions),
    )
    return Round(
        number=number,
        purpose=purpose,
        expansions=tuple(expansions),
        sampling=sampling,
        scorer=scorer,
        events=(started,),
    )


def first_seed(number: int, n: int, config: BeamSearchConfig, seed: int | None) -> int | None:
    """Return the seed of the first sample of an evaluation.

    Its samples come after those of the search itself, distinct for each round and candidate.

    Args:
        number: of the round, from 1.
        n: samples per candidate.
        config: of the search.
        seed: of the first sample of the search; None: the server's own randomness.
    """
    if seed is None:
        return None
    max_candidates = config.samples_per_round + config.beam_width
    return seed + config.rounds * config.samples_per_round + (number - 1) * max_candidates * n


def judge(
    number: int,
    beams: Sequence[Beam],
    scorer: ModelScorer,
    config: Strategy,
    first: int | None,
) -> Evaluation:
    """Build an evaluation that asks a question about each candidate of round `number`.

    Args:
        number: of the round, from 1.
        beams: the candidates.
        scorer: builds the questions.
        config: of the search.
        first: seed of the first answer; None: the server's own randomness.
    """
    n = scorer.samples
    questions = [
        Expansion(
            rank=rank,
            beam=beam,
            n=n,
            max_tokens=scorer.max_tokens,
            seed=None if first is None else first + rank * n,
        )
        for rank, beam in enumerate(beams)
    ]
    sampling = Sampling(
        temperature=scorer.temperature,
        top_logprobs=scorer.top_logprobs,
        labels=scorer.labels,
        logprobs=scorer.top_logprobs > 0,
        beam_timeout=config.beam_timeout,
        cancel_siblings=config.on_beam_failure == "cancel_siblings",
    )
    return Evaluation(
        round=evaluation_round(number, "judge", questions, sampling, scorer),
        read=lambda _, outcome: scorer.read(outcome.blocks),
    )


def reward(
    number: int, beams: Sequence[Beam], scorer: RewardScorer, config: Strategy
) -> Evaluation:
    """Build an evaluation that has the candidates of round `number` scored by a reward model."""
    expansions = [
        Expansion(rank=rank, beam=beam, n=1, max_tokens=0, seed=None)
        for rank, beam in enumerate(beams)
    ]
    sampling = Sampling(
        beam_timeout=config.beam_timeout,
        cancel_siblings=config.on_beam_failure == "cancel_siblings",
    )
    return Evaluation(
        round=evaluation_round(number, "reward", expansions, sampling, scorer),
        read=lambda _, outcome: scorer.score_of(outcome.step_scores or ()),
        requests=1,
    )
