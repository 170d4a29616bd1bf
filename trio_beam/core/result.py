"""What a search returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import attrs

if TYPE_CHECKING:
    from trio_beam.core.beam import Beam
    from trio_beam.core.beam_search.voting import Votes
    from trio_beam.core.usage import Usage
    from trio_beam.errors import EndpointError

#: Why a search ended. ``"failed"`` only stands in `SearchFailed.partial`, ``"interrupted"`` only in
#: what the command line prints after Ctrl-C.
StopReason = Literal["finished", "max_tokens", "deadline", "budget", "failed", "interrupted"]


@attrs.frozen(kw_only=True, eq=False)
class BeamFailure:
    """One beam that could not be expanded.

    Attributes:
        beam: the beam as it was before the expansion that failed.
        error: why.
        attempts: how many times its last request was sent.
        round: the round in which it happened, from 1; 0 if it was before the first.
    """

    beam: Beam
    error: EndpointError
    attempts: int
    round: int


@attrs.frozen(kw_only=True, eq=False)
class SearchResult:
    """What a search found.

    Attributes:
        text: the text of the best beam; "" if there is none.
        score: the score of the best beam; minus infinity if there is none.
        beams: the best beams, best first, at most ``beam_width`` of them. After
            ``stop_reason="finished"`` they are the ones that ended.
        usage: what it cost.
        rounds: rounds that were completed.
        stop_reason: ``"finished"`` (enough beams ended), ``"max_tokens"``, ``"deadline"`` or ``"budget"``.
        failures: what was dropped on the way.
        exact: whether all beams were continued by token ids and scored with true log-probabilities.
        votes: with ``answer="vote"``, each answer with its share of the votes, the winner first.
    """

    text: str
    score: float
    beams: tuple[Beam, ...]
    usage: Usage
    rounds: int
    stop_reason: StopReason
    failures: tuple[BeamFailure, ...] = ()
    exact: bool = True
    votes: Votes = ()
