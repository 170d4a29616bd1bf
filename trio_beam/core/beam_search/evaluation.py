"""Requests about a round's candidates, between expansion and selection.

Rollouts that estimate candidates' futures and questions to a judge are rounds like any other: sent
concurrently, each in its own cancel scope, under the same limits. An `Evaluation` turns their outcomes
into a number per candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.events import EvaluationStarted, Purpose
from trio_beam.core.model_scorer import ModelScorer
from trio_beam.core.steps import Expansion, Outcome, Round, Sampling
from trio_beam.errors import EndpointError

#: Turns the continuations of one candidate into a number, or raises an `EndpointError`.
Reader: TypeAlias = Callable[[Beam, Sequence[Continuation]], float]


@attrs.define(kw_only=True, eq=False)
class Evaluation:
    """A round of requests about candidates, and a number for each candidate.

    Attributes:
        round: the requests, one expansion per candidate.
        read: turns continuations into a number.
        ignored_error: exception type that means "no continuation", not a failure.
        values: the number of each candidate, by rank; None if it could not be obtained.
        stopped: whether a cancellation or failure ended the evaluation.
        exhausted: whether the budget prevented some requests.
    """

    round: Round
    read: Reader
    ignored_error: type[EndpointError] | None = None
    values: dict[int, float | None] = attrs.field(factory=dict, init=False)
    stopped: bool = attrs.field(default=False, init=False)
    exhausted: bool = attrs.field(default=False, init=False)

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
        blocks = outcome.blocks
        self.exhausted = self.exhausted or outcome.exhausted
        self.stopped = self.stopped or outcome.cancelled
        errors = [error for error in outcome.errors if not self._is_ignored(error)]
        value: float | None = None
        if blocks or len(errors) < len(outcome.errors):
            try:
                value = self.read(self.round.expansions[outcome.rank].beam, blocks)
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
    scorer: ModelScorer | None = None,
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


def judge(
    number: int, beams: Sequence[Beam], scorer: ModelScorer, config: BeamSearchConfig
) -> Evaluation:
    """Build an evaluation that asks a question about each candidate of round `number`."""
    questions = [
        Expansion(rank=rank, beam=beam, n=1, max_tokens=scorer.max_tokens, seed=None)
        for rank, beam in enumerate(beams)
    ]
    sampling = Sampling(
        top_logprobs=scorer.top_logprobs,
        logprobs=scorer.top_logprobs > 0,
        beam_timeout=config.beam_timeout,
        cancel_siblings=config.on_beam_failure == "cancel_siblings",
    )
    return Evaluation(
        round=evaluation_round(number, "judge", questions, sampling, scorer),
        read=lambda _, answers: scorer.read(answers),
    )
