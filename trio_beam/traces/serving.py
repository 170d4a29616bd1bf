"""Answer the rounds of a replay from a trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.events import Observer
from trio_beam.core.language_model import RequestContext, Sampler, SampleRequest
from trio_beam.core.model_scorer import ModelScorer
from trio_beam.core.prompt import Prompt, PromptLike
from trio_beam.core.result import StopReason
from trio_beam.core.steps import Expansion, Outcome, Round
from trio_beam.core.strategy import Strategy
from trio_beam.core.usage import Usage, UsageMeter
from trio_beam.engine.round import OutcomeReceiver, deliver
from trio_beam.errors import BudgetExhausted, ReplayError
from trio_beam.traces.format import Prepared, Selected, Stopped
from trio_beam.traces.reader import RecordedSearch
from trio_beam.traces.samples import Identity, Recorded, RecordedSamples
from trio_beam.traces.strategies import UNWRITTEN
from trio_beam.traces.values import (
    as_float,
    digest_of,
    error_from_plain,
    identity,
    prompt_from_plain,
)

#: Why a search may have been cut off between any two steps.
CUT_OFF: Final = ("deadline", "interrupted")
#: Why a search may end with a round that was not closed.
_OPEN: Final = (*CUT_OFF, "failed", "budget")


class CutOffError(Exception):
    """The recorded search was cut off here, by its deadline or from outside."""


class RecordedScores:
    """The scores of a recorded search, for a scorer that is a function."""

    def __init__(self, recorded: RecordedSearch, samples: RecordedSamples) -> None:
        self.round = 0
        self._scores: dict[tuple[int, Identity], float] = {}
        for line in recorded.of(Selected):
            for one in line.scored:
                score = as_float(one.score, 0.0)
                assert score is not None
                self._scores[line.round, samples.keys(one.beam)] = score
        end = recorded.end
        #: Those of a round that was cut off, as far as its beams are in the result.
        self._last = {
            samples.keys(one.beam): float("-inf") if one.score is None else float(one.score)
            for one in (end.result.beams if end is not None else [])
        }
        stopped = end if isinstance(end, Stopped) else None
        failed = stopped is not None and stopped.cause == "ScorerError"
        self._message = stopped.message if stopped is not None else ""
        #: Whether the last round may have been scored for the result only, which has but the best.
        self._cut_off = end is not None and not failed and end.result.stop_reason in _OPEN

    def scorer(self, known: Mapping[str, Any]) -> Any:
        """Return a scorer that stands in for one that no file can hold."""

        def recorded(beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
            del config
            return [self._score(beam) for beam in beams]

        # It stands in for an asynchronous one.
        async def awaited(beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:  # noqa: ASYNC124
            return recorded(beams, config)

        chosen: Any = awaited if known["is_async"] else recorded
        chosen.__name__ = known[UNWRITTEN]
        chosen.needs_logprobs = known["needs_logprobs"]
        chosen.ranks_siblings = known["ranks_siblings"]
        return chosen

    def _score(self, beam: Beam) -> float:
        keys = identity(beam)
        if (self.round, keys) in self._scores:
            return self._scores[self.round, keys]
        if keys in self._last or self._cut_off:
            return self._last.get(keys, float("-inf"))
        why = f", where the search failed: {self._message}" if self._message else ""
        raise ReplayError(f"the score of {beam.text!r} is not in the trace{why}")


@attrs.define(eq=False)
class Serving:
    """A model that answers from a trace, and the state of the replay."""

    recorded: RecordedSearch
    samples: RecordedSamples
    scores: RecordedScores
    strategy: Strategy
    prompt_length: int = 0
    opens_thinking: bool = False

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
        return reason if reason in CUT_OFF else "finished"  # type: ignore[return-value]  # as written

    async def start(self, prompt: Prompt, context: RequestContext) -> Sampler:
        """Prepare the prompt as recorded."""
        del prompt
        for line in self.recorded.of(Prepared):
            self.prompt_length, self.opens_thinking = line.prompt_length, line.opens_thinking
            spend(context.meter, Usage(**line.usage), line.reserved)  # type: ignore[arg-type]
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
        raise NotImplementedError

    def serve(
        self, current: Round, receiver: OutcomeReceiver, meter: UsageMeter, emit: Observer
    ) -> bool:
        """Pass the recorded outcomes of a round to its receiver; return whether one was cancelled.

        Raises:
            ReplayError: something was never sampled.
        """
        self.scores.round = current.number
        expansions = {one.rank: one for one in current.expansions}
        cancelled = False
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
            cancelled = cancelled or outcome.cancelled
        return cancelled

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
            if last is None or current.number >= last.round:
                self.check_cut_off()
            if self.recorded.end is None:
                raise ReplayError(
                    f"the trace has no end yet, or its process was killed: {error}"
                ) from None
            raise

    def check_end(self, current: Round) -> None:
        """Stop behind the last round of a search that was cut off."""
        last = self.samples.last
        if last is not None and (last.round, last.purpose) == (current.number, current.purpose):
            self.check_cut_off()

    def check_cut_off(self) -> None:
        """Stop if the search was cut off."""
        if self.cut_off in CUT_OFF:
            raise CutOffError


def spend(meter: UsageMeter, spent: Usage, reserved: tuple[int, int]) -> None:
    """Count a recorded cost."""
    for field in attrs.fields(Usage):
        value = getattr(spent, field.name)
        if value is not None and hasattr(meter, field.name):
            setattr(meter, field.name, (getattr(meter, field.name) or 0) + value)
    meter.commit(*reserved)
