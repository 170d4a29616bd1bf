"""The result of a search, and the error that carries a partial one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal, TypeAlias

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.result_html import beams_as_html
from trio_beam.core.usage import Usage
from trio_beam.errors import EndpointError, TrioBeamError

#: Why a search ended. ``"failed"`` occurs only in `SearchFailed.partial`, ``"interrupted"`` only in the
#: partial result printed after Ctrl-C.
StopReason = Literal[
    "finished", "max_tokens", "settled", "deadline", "budget", "failed", "interrupted"
]
#: Answers with their shares of the votes, which sum to 1, winner first.
Votes: TypeAlias = tuple[tuple[Hashable, float], ...]


@attrs.frozen(kw_only=True, eq=False)
class BeamFailure:
    """A beam that could not be expanded.

    Attributes:
        beam: the beam before the failed expansion.
        error: why it failed.
        attempts: number of attempts of its last request.
        round: number of the round, from 1; 0 if before the first.
    """

    beam: Beam
    error: EndpointError
    attempts: int
    round: int


@attrs.frozen(kw_only=True, eq=False)
class SearchResult:
    """The beams found by a search, and their cost.

    Attributes:
        text: the text of the best beam; "" if there is none.
        score: the score of the best beam; minus infinity if there is none.
        beams: at most ``beam_width`` beams, best first. After ``stop_reason="finished"``, only ended
            ones.
        usage: tokens and requests spent.
        rounds: number of completed rounds.
        stop_reason: ``"finished"`` (enough beams ended), ``"max_tokens"``, ``"settled"`` (the samples still
            to come could not, or were unlikely to, change the answer), ``"deadline"`` or ``"budget"``.
        failures: failures of dropped beams.
        exact: whether everything the result was chosen from, dropped beams and rollouts included, was
            continued by token ids and scored with true log-probabilities.
        votes: after a vote, each answer with its share of the votes, winner first.
        log_evidence: with weights, the logarithm (nats) of their mean, an unbiased estimate of the sum of
            p^alpha over all texts: those that have ended, and those of exactly as many blocks as the search
            has completed, or of ``max_tokens``. None without weights.
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

    def _repr_html_(self) -> str:
        """Return the tree of its beams, for notebooks."""
        usage = self.usage
        caption = (
            f"{self.stop_reason} after {self.rounds} rounds: {usage.completion_tokens} tokens in"
            f" {usage.requests} requests"
        )
        return beams_as_html(self.beams, caption)


class SearchFailed(TrioBeamError):
    """The search failed; raised from an ``ExceptionGroup`` of the causes.

    Attributes:
        failures: all failures of the search, each with its beam, error and attempts.
        partial: the best result so far, with its usage; its ``beams`` may be empty.
    """

    def __init__(
        self, message: str, *, failures: Sequence[BeamFailure], partial: SearchResult
    ) -> None:
        super().__init__(message)
        self.failures = tuple(failures)
        self.partial = partial
