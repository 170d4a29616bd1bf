"""Answer the rounds of a replay from a trace."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.events import BeamFailed, Observer
from trio_beam.core.language_model import RequestContext, Sampler, SampleRequest
from trio_beam.core.mcmc_config import McmcConfig
from trio_beam.core.model_scorer import ModelScorer
from trio_beam.core.price import Price, decimal_of
from trio_beam.core.prompt import Prompt, PromptLike
from trio_beam.core.result import StopReason
from trio_beam.core.steps import Expansion, Outcome, Round
from trio_beam.core.strategy import Strategy
from trio_beam.core.usage import Usage
from trio_beam.core.usage_meter import Reserved, UsageMeter
from trio_beam.engine.round import OutcomeReceiver, deliver
from trio_beam.errors import BudgetExhausted, ReplayError
from trio_beam.traces.format import Prepared, Stopped
from trio_beam.traces.reader import RecordedSearch
from trio_beam.traces.samples import Recorded, RecordedSamples, shown
from trio_beam.traces.scores import CUT_OFF, RecordedScores
from trio_beam.traces.values import (
    digest_of,
    error_from_plain,
    price_from_plain,
    prompt_from_plain,
    usage_from_plain,
)


class CutOffError(Exception):
    """The recorded search was cut off here, by its deadline or from outside."""


@attrs.define(eq=False)
class Serving:
    """A model that answers from a trace, and the state of the replay."""

    recorded: RecordedSearch
    samples: RecordedSamples
    scores: RecordedScores
    strategy: Strategy
    prompt_length: int = 0
    opens_thinking: bool = False
    price: Price | None = None

    @property
    def prompt(self) -> PromptLike:
        """The prompt; a stand-in if it was left out."""
        plain = self.recorded.began.prompt
        prompt = Prompt(text="(left out)") if plain is None else prompt_from_plain(plain)
        return (
            prompt.text if prompt.messages is None and prompt.text else list(prompt.messages or ())
        )

    @property
    def cut_off(self) -> StopReason:
        """Why the recorded search was cut off; "finished" if it was not."""
        end = self.recorded.end
        reason = "finished" if end is None else end.result.stop_reason
        if isinstance(end, Stopped):
            reason = end.stop_reason or reason
        return reason if reason in CUT_OFF else "finished"  # type: ignore[return-value]  # as written

    async def start(self, prompt: Prompt, context: RequestContext) -> Sampler:
        """Prepare the prompt as recorded."""
        del prompt
        for line in self.recorded.of(Prepared):
            self.prompt_length, self.opens_thinking = line.prompt_length, line.opens_thinking
            self.price = price_from_plain(line.price)
            spend(context.meter, usage_from_plain(line.usage), line.reserved)
            return self
        self.check_cut_off()
        end = self.recorded.end
        if end is not None and end.result.stop_reason == "budget":
            raise BudgetExhausted("the search has used up its budget")
        if isinstance(end, Stopped) and end.failures:
            raise error_from_plain(end.failures[0].error)
        raise ReplayError("the trace ends before the first round")

    async def sample(
        self, request: SampleRequest, context: RequestContext
    ) -> Sequence[Continuation]:
        """Never called: whole rounds are served."""
        del request, context
        raise AssertionError("a replayed round was sampled")

    def serve(
        self, current: Round, receiver: OutcomeReceiver, meter: UsageMeter, emit: Observer
    ) -> bool:
        """Pass the recorded outcomes of a round to its receiver; return whether one was cancelled.

        Raises:
            ReplayError: something was never sampled.
        """
        self.scores.round = current.number
        if isinstance(self.strategy, McmcConfig):
            self.scores.chain = current.expansions[0].rank
        expansions = {one.rank: one for one in current.expansions}
        cancelled: list[Beam] = []
        cancels = failed = (
            False  # whether this search itself cancels the others; whether one failed
        )
        for rank in sorted(expansions):
            taken = self._take(current, expansions[rank])
            outcome = self._outcome(current, expansions[rank], taken)
            self.prompt_length = taken.line.prompt_length or self.prompt_length
            # The machine counts the tokens of the samples itself.
            counted = sum(
                block.length if block.generated is None else block.generated
                for block in taken.line.blocks
            )
            others = taken.spent.completion_tokens - counted
            spent = attrs.evolve(taken.spent, completion_tokens=others, discarded_tokens=0)
            spend(meter, spent, taken.reserved)
            reaction = deliver(
                receiver, current, outcome, meter, emit, prompt_length=self.prompt_length
            )
            expansions |= {one.rank: one for one in reaction.begin}
            failed = failed or any(isinstance(event, BeamFailed) for event in reaction.events)
            cancels = cancels or bool(reaction.cancel)
            if outcome.cancelled:
                cancelled.append(expansions[rank].beam)
        if not self.is_cut_off and isinstance(self.strategy, BeamSearchConfig):
            self._check_whole(current, cancelled, failed=failed, cancels=cancels)
        return bool(cancelled)

    def _check_whole(
        self, current: Round, cancelled: Sequence[Beam], *, failed: bool, cancels: bool
    ) -> None:
        """Raise if the recorded search has cancelled what this one would have waited for."""
        recorded = self.recorded.began.strategy.get("on_beam_failure")
        gives_up = current.sampling.cancel_siblings
        if failed and recorded == "cancel_siblings" and not gives_up:
            raise self.missing(
                f"round {current.number}: a request failed, and with on_beam_failure='cancel_siblings' the"
                " recorded search waited for no other"
            )
        if cancelled and not (cancels or (failed and gives_up)):
            raise self.missing(
                f"round {current.number}: the beam {shown(cancelled[0])} was cancelled before all was there"
            )

    def missing(self, message: str) -> ReplayError:
        """Return the error that says what the trace lacks."""
        if self.recorded.end is None:
            message = f"the trace has no end yet, or its process was killed: {message}"
        return ReplayError(message)

    def _outcome(self, current: Round, expansion: Expansion, taken: Recorded) -> Outcome:
        outcome = taken.outcome(expansion.rank, expansion.n)
        sampling, blocks = current.sampling, outcome.continuations
        if current.purpose == "reward":
            return outcome
        if sampling.logprobs and any(block.logprob is None for block in blocks.values()):
            raise ReplayError(
                "the recorded search asked for no log-probabilities, which are needed"
            )
        lacks = any(block.proposal is None and len(block) for block in blocks.values())
        if sampling.proposal_logprobs and lacks:
            raise ReplayError(
                f"the samples have no log-probabilities at temperature {sampling.temperature:g}"
            )
        if not sampling.logprobs:
            blocks = {at: attrs.evolve(block, logprob=None) for at, block in blocks.items()}
        return attrs.evolve(outcome, continuations=blocks)

    def _take(self, current: Round, expansion: Expansion) -> Recorded:
        question = ""
        if isinstance(current.scorer, ModelScorer) and self.recorded.began.prompt is not None:
            prompt = prompt_from_plain(self.recorded.began.prompt)
            question = digest_of(current.scorer.ask(prompt, expansion.beam))
        try:
            return self.samples.take(
                current.number,
                current.purpose,
                expansion,
                current.sampling.temperature,
                question,
            )
        except ReplayError as error:
            last = self.samples.last
            if last is None or current.number >= last.line.round:
                self.check_cut_off()
            raise self.missing(str(error)) from None

    def check_end(self) -> None:
        """Stop behind the last round of a search that was cut off."""
        if self.samples.last is None or self.samples.last.used:
            self.check_cut_off()

    @property
    def is_cut_off(self) -> bool:
        """Whether the recorded search was cut off."""
        return self.cut_off in CUT_OFF

    def check_cut_off(self) -> None:
        """Stop if the search was cut off."""
        if self.is_cut_off:
            raise CutOffError


def spend(meter: UsageMeter, spent: Usage, reserved: Reserved) -> None:
    """Count a recorded cost."""
    for field in attrs.fields(Usage):
        value = getattr(spent, field.name)
        if value is not None and hasattr(meter, field.name):
            setattr(meter, field.name, (getattr(meter, field.name) or 0) + value)
    if spent.cost is not None:
        meter.charge(decimal_of(spent.cost), uncertain=decimal_of(spent.uncertain_cost))
    for _ in range(spent.unpriced):
        meter.charge(None)
    meter.commit(*reserved)
