"""The dialogue with a machine: it wants a `Step`, gets an `Outcome`, and answers with a `Reaction`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation
from trio_beam.core.config import AsyncScorer
from trio_beam.core.events import Event, Purpose
from trio_beam.core.model_scorer import ModelScorer
from trio_beam.core.result import BeamFailure, StopReason
from trio_beam.core.strategy import Strategy
from trio_beam.errors import EndpointError, ScorerError


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
class Sampling:
    """Parameters of the requests of a round: sampling and limits.

    Attributes:
        temperature: of the sampling.
        top_logprobs: alternatives wanted beside each token.
        enumerate: take the most probable next tokens instead of samples.
        proposal_logprobs: whether samples must say how probable they were at `temperature`.
        beam_timeout: seconds for each request of a beam, without the wait for a slot; None: no limit.
        cancel_siblings: whether a failure ends everything, so that the rest of the same beam's requests can
            be cancelled at once.
    """

    temperature: float = 1.0
    top_logprobs: int = 0
    enumerate: bool = False
    proposal_logprobs: bool = False
    beam_timeout: float | None = None
    cancel_siblings: bool = True

    @classmethod
    def of(cls, strategy: Strategy, *, enumerate: bool, proposal_logprobs: bool) -> Sampling:  # noqa: A002
        """The sampling that a strategy asks for."""
        return cls(
            temperature=strategy.proposal_temperature,
            top_logprobs=strategy.top_logprobs,
            enumerate=enumerate,
            proposal_logprobs=proposal_logprobs,
            beam_timeout=strategy.beam_timeout,
            cancel_siblings=strategy.on_beam_failure == "cancel_siblings",
        )


@attrs.frozen(kw_only=True, eq=False)
class Round:
    """Carry out all expansions at the same time, and give each one's `Outcome` to ``receive``.

    Attributes:
        number: of the round of the search, from 1.
        purpose: what it is for.
        expansions: one for each beam or candidate.
        sampling: what they have in common.
        scorer: asks the questions, with the purpose ``"judge"``.
        events: to be emitted before its first request.
    """

    number: int
    purpose: Purpose
    expansions: tuple[Expansion, ...]
    sampling: Sampling
    scorer: ModelScorer | None = None
    events: tuple[Event, ...] = ()

    @property
    def samples(self) -> int:
        """Continuations in all."""
        return sum(expansion.n for expansion in self.expansions)


@attrs.frozen(kw_only=True, eq=False)
class ScoreCandidates:
    """Await a scorer, and give its scores to ``take_scores`` (or its error to ``scorer_failed``)."""

    scorer: AsyncScorer
    beams: tuple[Beam, ...]


@attrs.frozen(kw_only=True, eq=False)
class Finished:
    """The search has ended by itself."""

    stop_reason: StopReason
    events: tuple[Event, ...] = ()


@attrs.frozen(kw_only=True, eq=False)
class Failed:
    """The search cannot go on.

    Attributes:
        failures: of its requests, so far.
        cause: the scorer's error, if that is why.
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
        continuations: by sample index; fewer than asked for if something went wrong.
        candidates: made elsewhere, instead of continuations; they need not continue the beam, and what they
            cost is counted there.
        errors: what went wrong, in the order of the samples; empty if it was cancelled.
        cancelled: whether it was cancelled because of a sibling, or from outside.
        exhausted: whether one of its requests was not sent because of the budget.
    """

    rank: int
    continuations: Mapping[int, Continuation] = attrs.field(factory=dict)
    candidates: tuple[Beam, ...] = ()
    errors: tuple[EndpointError, ...] = ()
    cancelled: bool = False
    exhausted: bool = False

    @property
    def blocks(self) -> list[Continuation]:
        """The continuations, in the order of the samples."""
        return [block for _, block in sorted(self.continuations.items())]

    @property
    def generated(self) -> int:
        """Tokens that were generated for them."""
        return sum(block.generated for block in self.continuations.values())


@attrs.frozen(eq=False)
class Reaction:
    """The consequences of an outcome.

    Attributes:
        events: to be emitted.
        cancel: ranks of the expansions of the same round that are to be cancelled.
    """

    events: tuple[Event, ...] = ()
    cancel: frozenset[int] = frozenset()
