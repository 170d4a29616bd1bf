"""The data exchanged with a machine: it returns a `Step`, receives an `Outcome`, returns a `Reaction`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation
from trio_beam.core.confidence import ConfidenceLimit
from trio_beam.core.events import Event, Purpose
from trio_beam.core.model_scorer import ModelScorer
from trio_beam.core.result import BeamFailure, StopReason
from trio_beam.core.reward_scorer import RewardScorer
from trio_beam.core.scorer import AsyncScorer
from trio_beam.core.strategy import Strategy
from trio_beam.errors import EndpointError, ScorerError


@attrs.frozen(kw_only=True, eq=False)
class Expansion:
    """A beam to continue.

    Attributes:
        rank: rank among the beams of the round, from 0.
        beam: the beam.
        n: number of continuations.
        max_tokens: maximum length of each, in tokens.
        seed: of sample 0; sample k has ``seed + k``. None: the server's own randomness.
        confidence: below which a continuation is given up; None: never.
    """

    rank: int
    beam: Beam
    n: int
    max_tokens: int
    seed: int | None
    confidence: ConfidenceLimit | None = None


@attrs.frozen(kw_only=True, eq=False)
class Sampling:
    """Sampling parameters and limits shared by the requests of a round.

    Attributes:
        temperature: sampling temperature.
        top_logprobs: number of alternatives per token.
        enumerate: whether to take the most probable next tokens instead of samples.
        proposal_logprobs: whether samples need log-probabilities at `temperature`.
        delimiters: texts behind which a block is not needed.
        labels: words whose exact log-probabilities are wanted, where the model can tell them.
        logprobs: whether log-probabilities are asked for at all.
        alternatives: whether tokens need alternatives.
        interruptible: whether expansions may well be cancelled before their end.
        token_texts: whether the text of each token is needed, to end a block between two of them.
        reasoning_budget: maximum number of tokens of thinking; None: no limit.
        several_blocks: whether the blocks may be continued, so that all of their text must be known.
        beam_timeout: seconds for each request of a beam, excluding the wait for a slot; None: no limit.
        cancel_siblings: whether one failure ends the round, so that the other requests of the same beam
            can be cancelled at once.
    """

    temperature: float = 1.0
    top_logprobs: int = 0
    enumerate: bool = False
    proposal_logprobs: bool = False
    delimiters: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    logprobs: bool = True
    alternatives: bool = False
    interruptible: bool = False
    token_texts: bool = False
    reasoning_budget: int | None = None
    several_blocks: bool = False
    beam_timeout: float | None = None
    cancel_siblings: bool = True

    @classmethod
    def of(cls, strategy: Strategy, *, enumerate: bool, proposal_logprobs: bool) -> Sampling:  # noqa: A002
        """Return the sampling parameters of a strategy."""
        return cls(
            temperature=strategy.proposal_temperature,
            top_logprobs=strategy.top_logprobs,
            enumerate=enumerate,
            proposal_logprobs=proposal_logprobs,
            logprobs=strategy.needs_logprobs,
            reasoning_budget=strategy.reasoning_budget,
            several_blocks=strategy.several_blocks,
            beam_timeout=strategy.beam_timeout,
            cancel_siblings=strategy.on_beam_failure == "cancel_siblings",
        )


@attrs.frozen(kw_only=True, eq=False)
class Round:
    """Run all expansions concurrently, and pass each one's `Outcome` to ``receive``.

    Attributes:
        number: of the search's round, from 1.
        purpose: purpose of the requests.
        expansions: one per beam or candidate.
        sampling: shared sampling parameters.
        held: number of the last expansions that a `Reaction` begins, or cancels before they have begun.
        scorer: builds the questions if the purpose is ``"judge"``, gives the scores if it is ``"reward"``.
        events: to emit before the first request.
    """

    number: int
    purpose: Purpose
    expansions: tuple[Expansion, ...]
    sampling: Sampling
    held: int = 0
    scorer: ModelScorer | RewardScorer | None = None
    events: tuple[Event, ...] = ()

    @property
    def samples(self) -> int:
        """Total number of continuations."""
        return sum(expansion.n for expansion in self.expansions)


@attrs.frozen(kw_only=True, eq=False)
class ScoreCandidates:
    """Await a scorer, and pass its scores to ``take_scores`` or its error to ``scorer_failed``."""

    scorer: AsyncScorer
    beams: tuple[Beam, ...]


@attrs.frozen(kw_only=True, eq=False)
class Finished:
    """The search has ended."""

    stop_reason: StopReason
    events: tuple[Event, ...] = ()


@attrs.frozen(kw_only=True, eq=False)
class Failed:
    """The search has failed.

    Attributes:
        failures: failures of its requests.
        cause: the scorer's error, if it failed because of that.
    """

    failures: tuple[BeamFailure, ...]
    cause: ScorerError | None = None
    events: tuple[Event, ...] = ()


Step: TypeAlias = Round | ScoreCandidates | Finished | Failed


@attrs.frozen(kw_only=True, eq=False)
class Outcome:
    """The result of one expansion.

    Attributes:
        rank: of the expansion.
        continuations: by sample index; fewer than requested if some requests failed.
        candidates: complete beams instead of continuations; they need not extend the beam, and their
            cost is counted by their creator.
        step_scores: a reward model's, one per step; None without them.
        errors: errors of failed requests, in sample order; empty if cancelled.
        cancelled: whether it was cancelled, because of a sibling or from outside.
        exhausted: whether a request was not sent because of the budget.
    """

    rank: int
    continuations: Mapping[int, Continuation] = attrs.field(factory=dict)
    candidates: tuple[Beam, ...] = ()
    step_scores: tuple[float, ...] | None = None
    errors: tuple[EndpointError, ...] = ()
    cancelled: bool = False
    exhausted: bool = False

    @property
    def blocks(self) -> list[Continuation]:
        """The continuations in sample order."""
        return [block for _, block in sorted(self.continuations.items())]

    @property
    def generated(self) -> int:
        """Number of tokens generated for them."""
        return sum(block.generated for block in self.continuations.values())


@attrs.frozen(eq=False)
class Reaction:
    """The consequences of an outcome.

    Attributes:
        events: to emit.
        cancel: ranks of the round's expansions to cancel.
        begin: expansions that were held; they may differ from those of the round but for their ranks.
    """

    events: tuple[Event, ...] = ()
    cancel: frozenset[int] = frozenset()
    begin: tuple[Expansion, ...] = ()
