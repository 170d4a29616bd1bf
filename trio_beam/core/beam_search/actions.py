"""What the search wants done (`Step`), and what came of it (`Outcome`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation
from trio_beam.core.events import Event
from trio_beam.core.result import BeamFailure, StopReason
from trio_beam.errors import EndpointError

if TYPE_CHECKING:
    from trio_beam.core.beam_search.evaluation import Aside
    from trio_beam.core.beam_search.scoring import AsyncScorer


@attrs.frozen(kw_only=True, eq=False)
class Expansion:
    """One beam to be continued.

    Attributes:
        rank: its place among the beams of the round, from 0.
        beam: the beam.
        n: continuations wanted.
        max_tokens: most tokens in each.
        seed: of sample 0; sample k has ``seed + k``. None: the server's own randomness.
    """

    rank: int
    beam: Beam
    n: int
    max_tokens: int
    seed: int | None


@attrs.frozen(kw_only=True, eq=False)
class Round:
    """Expand all of these at the same time and give each one's `Outcome` to ``receive``."""

    number: int
    expansions: tuple[Expansion, ...]
    events: tuple[Event, ...] = ()


@attrs.frozen(kw_only=True, eq=False)
class Over:
    """The search has ended by itself."""

    stop_reason: StopReason
    events: tuple[Event, ...] = ()


@attrs.frozen(kw_only=True, eq=False)
class Failed:
    """The search cannot go on."""

    failures: tuple[BeamFailure, ...]
    events: tuple[Event, ...] = ()


@attrs.frozen(kw_only=True, eq=False)
class Scoring:
    """All outcomes of the round are in: score these by a scorer that has to be awaited.

    Give its scores to ``take_scores``.
    """

    scorer: AsyncScorer
    beams: tuple[Beam, ...]


@attrs.frozen(kw_only=True, eq=False)
class Asking:
    """Something is to be asked about the candidates of the round first, as a round is expanded.

    Give each `Outcome` of ``aside.round`` to ``aside.receive``.
    """

    aside: Aside


Step: TypeAlias = Round | Scoring | Asking | Over | Failed


@attrs.frozen(kw_only=True, eq=False)
class Outcome:
    """What came of one expansion.

    Attributes:
        rank: which expansion.
        continuations: by sample index; fewer than asked for if something went wrong.
        errors: what went wrong, in the order of the samples; nothing, if it was cancelled.
        cancelled: whether it was cancelled because of a sibling or the quorum, or from outside.
        exhausted: whether a request of it was not sent because of the budget.
    """

    rank: int
    continuations: Mapping[int, Continuation]
    errors: tuple[EndpointError, ...] = ()
    cancelled: bool = False
    exhausted: bool = False
