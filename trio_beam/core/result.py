"""The result of a search, and the error that carries a partial one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal, TypeAlias

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.usage import Usage
from trio_beam.errors import EndpointError, TrioBeamError

#: Why a search ended. ``"failed"`` only stands in `SearchFailed.partial`, ``"interrupted"`` only in
#: the best so far that is printed after Ctrl-C.
StopReason = Literal["finished", "max_tokens", "deadline", "budget", "failed", "interrupted"]
#: Answers with their shares of the votes, which sum to 1; the winner first.
Votes: TypeAlias = tuple[tuple[Hashable, float], ...]


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
    """The beams that a search found, and what they cost.

    Attributes:
        text: the text of the best beam; "" if there is none.
        score: the score of the best beam; minus infinity if there is none.
        beams: the best beams, best first, at most ``beam_width`` of them. After
            ``stop_reason="finished"`` they are the ones that ended.
        usage: tokens and requests spent.
        rounds: rounds that were completed.
        stop_reason: ``"finished"`` (enough beams ended), ``"max_tokens"``, ``"deadline"`` or ``"budget"``.
        failures: the beams that were dropped on the way.
        exact: whether all that the result was chosen from, dropped beams and rollouts included, was continued
            by token ids and scored with true log-probabilities.
        votes: after a vote, each answer with its share of the votes, the winner first.
        log_evidence: with weights, the logarithm (nats) of their mean, an unbiased estimate of the sum of
            p^alpha over all texts: those that have ended, and those of just as many blocks as the search has
            behind it, or of ``max_tokens``. None without weights.
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
    log_evidence: float | None = None


class SearchFailed(TrioBeamError):
    """The search could not go on; raised from an ``ExceptionGroup`` of the causes.

    Attributes:
        failures: every failure of the search, each with its beam, error and attempts.
        partial: the best so far, with its usage; its ``beams`` are empty if nothing came back.
    """

    def __init__(
        self, message: str, *, failures: Sequence[BeamFailure], partial: SearchResult
    ) -> None:
        super().__init__(message)
        self.failures = tuple(failures)
        self.partial = partial
