"""The events of a search, as frozen data.

An observer is any callable that takes one event. It is called inline, must not block, and its
exceptions propagate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.mcmc_config import McmcConfig
from trio_beam.core.model_scorer import ModelScorer
from trio_beam.core.price import Price
from trio_beam.core.prompt import Prompt
from trio_beam.core.request_events import (
    EndpointPaused,
    LimitChanged,
    RatePaused,
    RequestEnded,
    RequestHedged,
    RequestRetried,
    RequestSent,
    RequestWaiting,
    SearchEvent,
)
from trio_beam.core.result import (
    BeamFailure,
    ParticleRound,
    SearchFailed,
    SearchResult,
    StopReason,
)
from trio_beam.core.reward_scorer import RewardScorer
from trio_beam.core.usage import Usage
from trio_beam.core.usage_meter import NOTHING_RESERVED, Reserved
from trio_beam.errors import EndpointError

#: Purpose of a round's requests: to expand beams, to evaluate candidates by rollouts, a judge or a reward
#: model, or to move particles.
Purpose: TypeAlias = Literal["expand", "rollout", "judge", "reward", "move"]
NO_PROMPT = Prompt()
NO_USAGE = Usage()


@attrs.frozen(kw_only=True)
class SearchStarted(SearchEvent):
    """A search is about to send its first request.

    Attributes:
        config: configuration of the search.
        rounds: maximum number of rounds.
        prompt: what is searched for a continuation of.
        entropy: seed of its random decisions: the configuration's seed, or a number drawn at its start.
    """

    config: BeamSearchConfig
    rounds: int
    prompt: Prompt = attrs.field(default=NO_PROMPT, eq=False)
    entropy: int = attrs.field(default=0, eq=False)


@attrs.frozen(kw_only=True)
class PromptPrepared(SearchEvent):
    """The model is ready for the prompt, before the first round.

    Attributes:
        prompt_length: length of the prompt in tokens, or an upper bound; 0 if unknown.
        opens_thinking: whether the prompt, or the template around it, has opened the model's thinking.
        usage: cost of the preparation.
        price: of the model's tokens; None if unknown.
        reserved: completion tokens, prompt tokens and US dollars that count against the budget.
    """

    prompt_length: int = 0
    opens_thinking: bool = False
    usage: Usage = NO_USAGE
    price: Price | None = None
    reserved: Reserved = NOTHING_RESERVED


@attrs.frozen(kw_only=True)
class RoundStarted(SearchEvent):
    """A round is about to send its requests.

    Attributes:
        round: number of the round, from 1.
        rounds: maximum number of rounds.
        beams: number of beams to expand.
        samples: number of continuations in total.
    """

    round: int
    rounds: int
    beams: int
    samples: int


@attrs.frozen(kw_only=True)
class SamplesReceived(SearchEvent):
    """The answer to a question about one beam, as the model gave it: all that the search decides from.

    Attributes:
        round: number of the round (of the block, for a chain), from 1.
        purpose: purpose of the round's requests.
        rank: rank of the beam in the round, or number of the chain, from 0.
        beam: the beam that was continued, judged or scored.
        wanted: number of continuations that were asked for.
        max_tokens: maximum length of each, in tokens.
        temperature: at which they were sampled.
        scorer: what asks the questions (``"judge"``) or gives the scores (``"reward"``).
        continuations: the continuations or a judge's answers, by sample index; fewer than wanted if some
            requests failed.
        candidates: complete beams instead, from an overridden method of `BeamSearchSampling`.
        step_scores: a reward model's score for each block; None without one.
        errors: errors of failed requests, in sample order.
        cancelled: whether it was cancelled, because of a sibling or from outside.
        exhausted: whether the budget did not allow a request.
        prompt_length: length of the prompt in tokens as it is known now; 0 if unknown.
        usage: cost of the search (of the chain) so far.
        reserved: completion tokens, prompt tokens and US dollars that count against the budget.
    """

    round: int
    purpose: Purpose
    rank: int
    beam: Beam = attrs.field(eq=False)
    wanted: int
    max_tokens: int
    temperature: float = 1.0
    scorer: ModelScorer | RewardScorer | None = attrs.field(default=None, eq=False)
    continuations: Mapping[int, Continuation] = attrs.field(factory=dict, eq=False)
    candidates: tuple[Beam, ...] = attrs.field(default=(), eq=False)
    step_scores: tuple[float, ...] | None = None
    errors: tuple[EndpointError, ...] = ()
    cancelled: bool = False
    exhausted: bool = False
    prompt_length: int = 0
    usage: Usage = NO_USAGE
    reserved: Reserved = NOTHING_RESERVED


@attrs.frozen(kw_only=True)
class BeamExpanded(SearchEvent):
    """The continuations of one beam have arrived.

    Attributes:
        round: number of the round, from 1.
        rank: rank of the beam in the round, from 0.
        candidates: number of continuations.
        tokens: number of tokens generated for them.
        discarded: number of those behind the end of a step, a stop string or a budget for thinking, which
            were thrown away.
        forced: number of continuations whose thinking was ended by force (``reasoning_budget``).
        children: the beam extended by each continuation, not scored yet.
    """

    round: int
    rank: int
    candidates: int
    tokens: int
    discarded: int = 0
    forced: int = 0
    children: tuple[Beam, ...] = attrs.field(default=(), eq=False)


@attrs.frozen(kw_only=True)
class BeamFailed(SearchEvent):
    """A beam could not be expanded, or only partly.

    Attributes:
        failure: the beam, its error and the number of attempts.
        rank: rank of the beam in the round, from 0.
    """

    failure: BeamFailure
    rank: int


@attrs.frozen(kw_only=True)
class EvaluationStarted(SearchEvent):
    """Requests about a round's candidates are about to be sent, before selection.

    Attributes:
        round: number of the round, from 1.
        purpose: ``"rollout"``, ``"judge"``, ``"reward"`` or ``"move"``.
        candidates: number of candidates evaluated.
        samples: number of continuations (or scores by a reward model) in total.
    """

    round: int
    purpose: Purpose
    candidates: int
    samples: int


@attrs.frozen(kw_only=True)
class RoundFinished(SearchEvent):
    """A round was scored and selected.

    Attributes:
        round: number of the round, from 1.
        rounds: maximum number of rounds.
        candidates: number of candidates received.
        active: number of active beams.
        ended: number of ended beams, over all rounds.
        best_score: best score of this round's candidates.
        completion_tokens: tokens generated so far.
        best: the best beam so far, active or ended; the empty beam if there is none.
        living: the ended and the active beams; every beam of a later result is, or continues, one of them. ()
            with `Resample.moves`, which still change what was sampled.
        particles: with weights, what `SearchResult.particle_rounds` will have of this round.
        scored: the candidates of the round with their scores, and the beams at the maximum length, best
            first. Candidates with the same tokens are one; those that could not be evaluated are missing.
        kept: what the selection keeps: the active beams, then the ended ones of all rounds, best first. With
            weights, a candidate may be kept several times.
        futures: with lookahead, the estimated log (nats) of the sum of p^alpha over the futures of each
            candidate in `scored`; None where there is no estimate.
    """

    round: int
    rounds: int
    candidates: int
    active: int
    ended: int
    best_score: float
    completion_tokens: int
    best: Beam = attrs.field(factory=Beam, eq=False)
    living: tuple[Beam, ...] = attrs.field(default=(), eq=False)
    particles: ParticleRound | None = None
    scored: tuple[Beam, ...] = attrs.field(default=(), eq=False)
    kept: tuple[Beam, ...] = attrs.field(default=(), eq=False)
    futures: tuple[float | None, ...] = attrs.field(default=(), eq=False)


@attrs.frozen(kw_only=True)
class McmcStarted(SearchEvent):
    """`mcmc` is about to send its first request.

    Attributes:
        config: configuration of the chains.
        prompt: what they continue.
        entropy: seed of their random decisions: the configuration's seed, or a number drawn at the start.
    """

    config: McmcConfig
    prompt: Prompt = attrs.field(default=NO_PROMPT, eq=False)
    entropy: int = attrs.field(default=0, eq=False)


@attrs.frozen(kw_only=True)
class ChainExtended(SearchEvent):
    """A chain's text has gained a block.

    Attributes:
        chain: number of the chain, from 0.
        block: number of the block, from 1.
        blocks: maximum number of blocks.
        length: new length of the text in tokens.
        beam: the text now.
    """

    chain: int
    block: int
    blocks: int
    length: int
    beam: Beam = attrs.field(factory=Beam, eq=False)


@attrs.frozen(kw_only=True)
class ChainStepped(SearchEvent):
    """A chain has made a Metropolis-Hastings step.

    Attributes:
        chain: number of the chain, from 0.
        block: number of the current block, from 1.
        step: number of the step within the block, from 1.
        position: number of tokens kept; the rest was resampled.
        length: length of the proposed text in tokens.
        probability: acceptance probability.
        accepted: whether the proposal was accepted.
        beam: the text after the step.
        proposed: the text that was proposed.
    """

    chain: int
    block: int
    step: int
    position: int
    length: int
    probability: float
    accepted: bool
    beam: Beam = attrs.field(factory=Beam, eq=False)
    proposed: Beam = attrs.field(factory=Beam, eq=False)


@attrs.frozen(kw_only=True)
class SearchFinished(SearchEvent):
    """The search has its result.

    Attributes:
        result: the value that the call is about to return.
    """

    result: SearchResult


@attrs.frozen(kw_only=True)
class SearchStopped(SearchEvent):
    """The search has failed or was cancelled from outside, and returns nothing.

    Attributes:
        result: the best so far, with ``stop_reason="failed"`` or ``"interrupted"``.
        error: the error that the call is about to raise; None after a cancellation.
        stop_reason: why the search ended, if it then failed to choose its answer; otherwise None.
    """

    result: SearchResult
    error: SearchFailed | None = None
    stop_reason: StopReason | None = None


Event: TypeAlias = (
    SearchStarted
    | PromptPrepared
    | RoundStarted
    | SamplesReceived
    | BeamExpanded
    | BeamFailed
    | EvaluationStarted
    | RoundFinished
    | RequestWaiting
    | RequestSent
    | RequestEnded
    | RequestRetried
    | RequestHedged
    | EndpointPaused
    | RatePaused
    | LimitChanged
    | McmcStarted
    | ChainExtended
    | ChainStepped
    | SearchFinished
    | SearchStopped
)
Observer: TypeAlias = Callable[[Event], None]
