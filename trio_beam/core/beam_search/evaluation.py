"""Requests about the candidates of a round, between its expansion and its selection.

Rollouts that estimate a candidate's future, and the questions that a judge is asked, are sent as
expansions are: at the same time, each in a cancel scope of its own, under the same limits. `Aside` takes
what comes of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.beam_search.actions import Outcome, Round
from trio_beam.core.events import AsideStarted, Event
from trio_beam.core.result import BeamFailure
from trio_beam.errors import EndpointError

if TYPE_CHECKING:
    from trio_beam.core.block import Continuation
    from trio_beam.core.config import BeamSearchConfig
    from trio_beam.core.judge import Judge
    from trio_beam.core.usage import Ledger

#: Makes a number of what came back for one candidate, or raises an `EndpointError`.
Reader: TypeAlias = "Callable[[Beam, Sequence[Continuation]], float]"
#: Is told of a failure and of the rank of its candidate; returns what is to be told of it.
Fail: TypeAlias = "Callable[[BeamFailure, int], Sequence[Event]]"


@attrs.define(kw_only=True, eq=False)
class Aside:
    """What is asked about some candidates, and a number for each as the answer.

    Attributes:
        what: what it is for.
        round: the requests, an expansion for each candidate.
        config: what they have in common, for whoever sends them.
        ledger: what they cost.
        read: makes the numbers.
        fail: is told of each failure, and returns what is to be told of it.
        judge: who is asked; None: the model that is searched.
        forgives: an error that is an answer, of which nothing came.
        values: the number of each candidate, by rank; None where something went wrong and nothing came back.
        cancel_siblings: whether the others should be cancelled, because one has failed.
        quorum_reached: False: all are waited for.
        exhausted: whether the budget ended before all was asked.
        cancelled: whether something was cancelled, so that there is nothing to go on with.
    """

    what: Literal["lookahead", "judge"]
    round: Round
    config: BeamSearchConfig
    ledger: Ledger
    read: Reader
    fail: Fail
    judge: Judge | None = None
    forgives: type[EndpointError] | None = None
    values: dict[int, float | None] = attrs.field(factory=dict, init=False)
    cancel_siblings: bool = attrs.field(default=False, init=False)
    quorum_reached: bool = attrs.field(default=False, init=False)
    exhausted: bool = attrs.field(default=False, init=False)
    cancelled: bool = attrs.field(default=False, init=False)

    @property
    def started(self) -> AsideStarted:
        """What is to be told of it before its first request."""
        expansions = self.round.expansions
        return AsideStarted(
            round=self.round.number,
            what=self.what,
            candidates=len(expansions),
            samples=sum(expansion.n for expansion in expansions),
        )

    @property
    def complete(self) -> bool:
        """Whether the outcomes of all candidates are in."""
        return len(self.values) == len(self.round.expansions)

    @property
    def answers(self) -> dict[Beam, float | None]:
        """The number of each candidate."""
        return {one.beam: self.values[one.rank] for one in self.round.expansions}

    @property
    def dropped(self) -> int:
        """How many candidates have none."""
        return sum(value is None for value in self.values.values())

    def receive(self, outcome: Outcome) -> tuple[Event, ...]:
        """Take what came of the requests about one candidate."""
        beam = self.round.expansions[outcome.rank].beam
        blocks = [block for _, block in sorted(outcome.continuations.items())]
        self.ledger.completion_tokens += sum(block.generated for block in blocks)
        self.exhausted = self.exhausted or outcome.exhausted
        self.cancelled = self.cancelled or outcome.cancelled
        errors = [error for error in outcome.errors if not self._forgiven(error)]
        value: float | None = None
        if blocks or len(errors) < len(outcome.errors):
            try:
                value = self.read(beam, blocks)
            except EndpointError as error:
                errors.append(error)
        self.values[outcome.rank] = value
        return tuple(event for error in errors for event in self._note(beam, outcome.rank, error))

    def _forgiven(self, error: EndpointError) -> bool:
        return self.forgives is not None and isinstance(error, self.forgives)

    def _note(self, beam: Beam, rank: int, error: EndpointError) -> Sequence[Event]:
        if self.config.on_beam_failure == "cancel_siblings":
            self.cancel_siblings = True
        failure = BeamFailure(
            beam=beam, error=error, attempts=error.attempts, round=self.round.number
        )
        return self.fail(failure, rank)
