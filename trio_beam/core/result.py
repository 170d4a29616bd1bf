"""The result of a search, and the error that carries a partial one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal, TypeAlias

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.printable import counted
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


@attrs.frozen(kw_only=True)
class ParticleRound:
    """The weights at the end of a round of a search with weights.

    Attributes:
        round: number of the round, from 1.
        exponent: the power of p by which particles were drawn, or would have been.
        effective_sample_size: of the weights under that power, before particles were drawn.
        resampled: whether they were drawn from all.
    """

    round: int
    exponent: float
    effective_sample_size: float
    resampled: bool


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
            has completed, or of ``max_tokens``; with rewards, of p^alpha * exp(beta * reward). None without
            weights, or with a reference. `mean_log_evidence` combines repeated searches, and has the error.
        vote_intervals: after a vote, a 95 % interval for each answer's share, as if it were voted by
            `effective_votes` independent samples (Wilson 1927).
        effective_votes: number of independent equal votes that are worth as much as those cast: their number,
            or with unequal weights (sum w)^2 / sum w^2. Particles with common beginnings are not
            independent, so that this is then an upper bound. None without a vote.
        effective_sample_size: with weights, that of the final particles, from 1 to their number.
        particle_rounds: with weights, those at the end of each round.
        acceptance_rates: of each chain, the share of its steps that were accepted; None without steps. Of
            particles that move, one share for all.
        r_hat: split R-hat of the chains' log-probabilities (and rewards) over the steps of the last block:
            near 1 if chains agree. None without chains, or with fewer than 4 steps.
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
    vote_intervals: tuple[tuple[float, float], ...] = ()
    effective_votes: float | None = None
    effective_sample_size: float | None = None
    particle_rounds: tuple[ParticleRound, ...] = ()
    acceptance_rates: tuple[float | None, ...] = ()
    r_hat: float | None = None

    @property
    def effective_answers(self) -> float | None:
        """Effective number of distinct answers of a vote: 1 / sum(share^2); None without a vote."""
        squares = sum(share * share for _, share in self.votes)
        return 1 / squares if squares else None

    def _repr_html_(self) -> str:
        """Return the tree of its beams, for notebooks."""
        usage = self.usage
        caption = (
            f"{self.stop_reason} after {counted(self.rounds, 'round')}:"
            f" {counted(usage.completion_tokens, 'token')} in {counted(usage.requests, 'request')}"
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
