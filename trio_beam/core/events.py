"""The events of a search, as frozen data.

An observer is any callable that takes one event. It is called inline, must not block, and its
exceptions propagate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.mcmc_config import McmcConfig
from trio_beam.core.request_events import (
    EndpointPaused,
    LimitChanged,
    RatePaused,
    RequestHedged,
    RequestRetried,
    SearchEvent,
)
from trio_beam.core.result import BeamFailure, ParticleRound, SearchResult

#: Purpose of a round's requests: to expand beams, to evaluate candidates by rollouts, a judge or a reward
#: model, or to move particles.
Purpose: TypeAlias = Literal["expand", "rollout", "judge", "reward", "move"]


@attrs.frozen(kw_only=True)
class SearchStarted(SearchEvent):
    """A search is about to send its first request.

    Attributes:
        config: configuration of the search.
        rounds: maximum number of rounds.
    """

    config: BeamSearchConfig
    rounds: int


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
        scored: this round's candidates with their scores and step scores, best first.
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


@attrs.frozen(kw_only=True)
class McmcStarted(SearchEvent):
    """`mcmc` is about to send its first request.

    Attributes:
        config: configuration of the chains.
    """

    config: McmcConfig


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
    """

    chain: int
    block: int
    step: int
    position: int
    length: int
    probability: float
    accepted: bool
    beam: Beam = attrs.field(factory=Beam, eq=False)


@attrs.frozen(kw_only=True)
class SearchFinished(SearchEvent):
    """The search has its result.

    Attributes:
        result: the value that the call is about to return.
    """

    result: SearchResult


Event: TypeAlias = (
    SearchStarted
    | RoundStarted
    | BeamExpanded
    | BeamFailed
    | EvaluationStarted
    | RoundFinished
    | RequestRetried
    | RequestHedged
    | EndpointPaused
    | RatePaused
    | LimitChanged
    | McmcStarted
    | ChainExtended
    | ChainStepped
    | SearchFinished
)
Observer: TypeAlias = Callable[[Event], None]
