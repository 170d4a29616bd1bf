"""The events of a search, as frozen data.

An observer is any callable that takes one event. It is called inline, must not block, and what it
raises propagates.
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
    RequestHedged,
    RequestRetried,
    SearchEvent,
)
from trio_beam.core.result import BeamFailure, SearchResult

#: What the requests of a round are for: to expand beams, to estimate the future of candidates, or to have
#: them judged.
Purpose: TypeAlias = Literal["expand", "rollout", "judge"]


@attrs.frozen(kw_only=True)
class SearchStarted(SearchEvent):
    """A search is about to send its first request; `rounds` is the most it will need."""

    config: BeamSearchConfig
    rounds: int


@attrs.frozen(kw_only=True)
class RoundStarted(SearchEvent):
    """`beams` beams are expanded by `samples` continuations in all."""

    round: int
    rounds: int
    beams: int
    samples: int


@attrs.frozen(kw_only=True)
class BeamExpanded(SearchEvent):
    """The continuations of one beam are in.

    Attributes:
        rank: place of the beam among those of the round, from 0.
        candidates: how many came.
        tokens: generated for them.
        children: the beam with each continuation behind it, not scored yet.
    """

    round: int
    rank: int
    candidates: int
    tokens: int
    children: tuple[Beam, ...] = attrs.field(default=(), eq=False)


@attrs.frozen(kw_only=True)
class BeamFailed(SearchEvent):
    """One beam could not be expanded, or not wholly."""

    failure: BeamFailure
    rank: int


@attrs.frozen(kw_only=True)
class EvaluationStarted(SearchEvent):
    """Requests about the candidates of a round are sent before it is selected from.

    Attributes:
        round: its number, from 1.
        purpose: ``"rollout"`` or ``"judge"``.
        candidates: how many are evaluated.
        samples: continuations in all.
    """

    round: int
    purpose: Purpose
    candidates: int
    samples: int


@attrs.frozen(kw_only=True)
class RoundFinished(SearchEvent):
    """A round was scored and selected.

    Attributes:
        candidates: continuations that came back.
        active: beams that go on.
        ended: beams that have ended, all rounds so far.
        best_score: of this round's candidates.
        completion_tokens: tokens generated so far.
        best: the beam with the highest score of those that go on or have ended: the best so far. It is the
            empty beam if there is none.
    """

    round: int
    rounds: int
    candidates: int
    active: int
    ended: int
    best_score: float
    completion_tokens: int
    best: Beam = attrs.field(factory=Beam, eq=False)


@attrs.frozen(kw_only=True)
class McmcStarted(SearchEvent):
    """`mcmc` is about to send its first request."""

    config: McmcConfig


@attrs.frozen(kw_only=True)
class ChainExtended(SearchEvent):
    """The text of a chain has one more block.

    Attributes:
        chain: its number, from 0.
        block: the number of the block, from 1.
        blocks: the most that there will be.
        length: tokens of the text now.
        beam: the text now.
    """

    chain: int
    block: int
    blocks: int
    length: int
    beam: Beam = attrs.field(factory=Beam, eq=False)


@attrs.frozen(kw_only=True)
class ChainStepped(SearchEvent):
    """A chain has made one Metropolis-Hastings step.

    Attributes:
        chain: its number, from 0.
        block: the number of the block that it is at, from 1.
        step: the number of the step in the block, from 1.
        position: tokens that were kept; those behind were sampled anew.
        length: tokens of the text that was proposed.
        probability: with which it was to be accepted.
        accepted: whether it was.
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
    """The search has its result."""

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
    | LimitChanged
    | McmcStarted
    | ChainExtended
    | ChainStepped
    | SearchFinished
)
Observer: TypeAlias = Callable[[Event], None]
