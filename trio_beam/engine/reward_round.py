"""A round of scores by a reward model: as few requests as its server takes, an outcome per candidate."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from trio_beam.core.events import Observer
from trio_beam.core.language_model import RequestContext
from trio_beam.core.prompt import Prompt
from trio_beam.core.request_events import RequestOrigin
from trio_beam.core.reward_scorer import RewardScorer
from trio_beam.core.steps import Expansion, Outcome, Round
from trio_beam.core.usage_meter import Allotment, UsageMeter
from trio_beam.engine.deadline import run_within
from trio_beam.engine.round import OutcomeReceiver, deliver
from trio_beam.errors import (
    BudgetExhausted,
    ContextOverflow,
    EndpointError,
    MalformedResponse,
    RequestRejected,
)


async def run_reward_round(
    scorer: RewardScorer,
    prompt: Prompt,
    current: Round,
    receiver: OutcomeReceiver,
    meter: UsageMeter,
    emit: Observer,
) -> None:
    """Have all candidates of a round scored, and pass an outcome for each to `receiver`.

    When this returns or raises, even after a cancellation, no task of the round is left and `receiver`
    has an outcome for every candidate.
    """
    scoring = _Scoring(scorer, prompt, current, receiver, meter, emit)
    size = scorer.max_batch(prompt) or len(current.expansions)
    batches = [
        current.expansions[start : start + size]
        for start in range(0, len(current.expansions), size)
    ]
    # By rank, before any task runs, so that a budget does not depend on timing.
    allotments = [scoring.allot(batch) for batch in batches]
    try:
        async with trio.open_nursery() as nursery:
            scoring.scope = nursery.cancel_scope
            for batch, allotment in zip(batches, allotments, strict=True):
                nursery.start_soon(scoring.score, batch, allotment)
    finally:
        scoring.cancel_missing()
        for allotment in allotments:
            if allotment is not None:
                allotment.release()


class _Scoring:
    """The requests of one round."""

    def __init__(
        self,
        scorer: RewardScorer,
        prompt: Prompt,
        current: Round,
        receiver: OutcomeReceiver,
        meter: UsageMeter,
        emit: Observer,
    ) -> None:
        self.scope = trio.CancelScope()
        self._scorer = scorer
        self._prompt = prompt
        self._round = current
        self._receiver = receiver
        self._meter = meter
        self._emit = emit
        self._failed: set[int] = set()
        self._missing = {one.rank for one in current.expansions}

    def allot(self, batch: Sequence[Expansion]) -> Allotment | None:
        """Set aside what a batch may cost; return None if the budget is too small."""
        prompts = sum(self._meter.prompt_length + one.beam.length for one in batch)
        return self._meter.allot(0, prompts)

    async def score(self, batch: Sequence[Expansion], allotment: Allotment | None) -> None:
        """Score a batch; if it is refused, score its halves, so that one bad candidate fails alone."""
        if allotment is None:
            for one in batch:
                self._deliver(Outcome(rank=one.rank, exhausted=True))
            return
        try:
            scores = await self._request(batch, allotment)
        except BudgetExhausted:
            for one in batch:
                self._deliver(Outcome(rank=one.rank, exhausted=True))
        except EndpointError as error:
            if len(batch) > 1 and _may_be_about_one(error):
                await self._score_halves(batch)
                return
            for one in batch:
                self._failed.add(one.rank)
                self._deliver(Outcome(rank=one.rank, errors=(error,)))
        else:
            for one, steps in zip(batch, scores, strict=True):
                self._deliver(Outcome(rank=one.rank, step_scores=steps))

    async def _score_halves(self, batch: Sequence[Expansion]) -> None:
        middle = (len(batch) + 1) // 2
        halves = [batch[:middle], batch[middle:]]
        async with trio.open_nursery() as nursery:
            for half in halves:
                nursery.start_soon(self.score, half, self.allot(half))
        if not any(one.rank in self._failed for one in batch):
            self._scorer.learn_batch(middle)  # it was refused for its size

    async def _request(
        self, batch: Sequence[Expansion], allotment: Allotment
    ) -> Sequence[tuple[float, ...]]:
        origin = RequestOrigin(round=self._round.number, purpose="reward", rank=batch[0].rank)
        context = RequestContext(
            meter=self._meter, emit=self._emit, origin=origin, allotment=allotment
        )
        beams = [one.beam for one in batch]
        try:
            scores = await run_within(
                self._round.sampling.beam_timeout,
                context,
                lambda: self._scorer.rewards(self._prompt, beams, context),
            )
        finally:
            allotment.release()  # before anything is delivered, so that its cost is known
        if len(scores) != len(batch):
            message = f"the reward model scored {len(scores)} candidates of {len(batch)}"
            raise MalformedResponse(message, attempts=context.attempts)
        return scores

    def _deliver(self, outcome: Outcome) -> None:
        self._missing.discard(outcome.rank)
        length = self._meter.prompt_length
        reaction = deliver(
            self._receiver, self._round, outcome, self._meter, self._emit, prompt_length=length
        )
        if reaction.cancel:
            self.scope.cancel(reason="a sibling failed")

    def cancel_missing(self) -> None:
        """Report the candidates that have no outcome yet as cancelled."""
        for rank in sorted(self._missing):
            self._deliver(Outcome(rank=rank, cancelled=True))


def _may_be_about_one(error: EndpointError) -> bool:
    """Return whether a refusal may be about the size of the batch, or about one of its candidates."""
    if isinstance(error, ContextOverflow):
        return True
    return isinstance(error, RequestRejected) and error.status in (400, 413, 422)
