"""Metropolis-Hastings moves of particles between two rounds (rejuvenation).

Each particle makes the steps of a chain (`core.mcmc`) that leave the round's intermediate target invariant:
p^a * exp(beta * reward) over the texts that have ended within the length reached so far, or have exactly that
length. Under it the weight of a particle does not change by a move, so its weight for p^alpha changes by the
power that is taken out of it: (p(x) / p(x'))^(a - alpha).

That is unbiased only if nothing random decides whether particles move. So all of them move after every round,
also those that have ended, whether or not they were resampled.

Gilks and Berzuini 2001, "Following a moving target: Monte Carlo inference for dynamic Bayesian models".
For texts: arXiv 2604.16453.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.block import known
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.events import EvaluationStarted, Event
from trio_beam.core.mcmc.chain import Chain
from trio_beam.core.mcmc_config import McmcConfig
from trio_beam.core.result import BeamFailure
from trio_beam.core.seeds import Chance
from trio_beam.core.steps import Outcome, Reaction, Round, ScoreCandidates
from trio_beam.core.strategy import Strategy
from trio_beam.core.usage_meter import UsageMeter
from trio_beam.errors import ScorerError

#: Seeds of moves begin behind this many samples of the search itself, and of its evaluations.
_FIRST_SAMPLE = 2**28


class _Particle(Chain):
    """A chain that begins with a particle's text and makes the steps of one block."""

    def __init__(
        self,
        beam: Beam,
        longest: int,
        config: McmcConfig,
        number: int,
        chance: Callable[[str], float],
        seed: int | None,
        meter: UsageMeter,
        block: int,
    ) -> None:
        super().__init__(config, number, chance, seed, meter)
        self.before = self.beam = beam
        self.blocks = block - 1
        self._longest = longest
        self._begin_next()

    @property
    def _limit(self) -> int:
        return self._longest

    def _is_last(self) -> bool:
        return True


class Moves:
    """The moves of all particles after a round.

    Args:
        particles: all, with their weights.
        longest: length in tokens of unfinished texts; a particle of another length stays as it is.
        exponent: the power of p in the intermediate target.
        steps: number of steps of each particle.
        number: of the round, from 1.
        config: of the search.
        chance: for positions and acceptances.
        seed: of the first sample of the search; None: the server's own randomness.
        meter: of the search.

    Attributes:
        failed: whether they end the search.
        scorer_error: the scorer's error, if that ended the moves.
    """

    def __init__(
        self,
        particles: Sequence[Beam],
        longest: int,
        exponent: float,
        steps: int,
        number: int,
        *,
        config: BeamSearchConfig,
        chance: Chance,
        seed: int | None,
        meter: UsageMeter,
    ) -> None:
        self.failed = False
        self.scorer_error: ScorerError | None = None
        self._particles = list(particles)
        self._longest = longest
        self._number = number
        self._more = exponent - config.alpha
        self._cancels = config.on_beam_failure == "cancel_siblings"
        chains = _chain_config(config, exponent, steps, len(particles))
        first = None
        if seed is not None:
            first = seed + _FIRST_SAMPLE + (number - 1) * (_FIRST_SAMPLE // config.rounds)
        self._chains = [
            _Particle(beam, longest, chains, place, chance, first, meter, number)
            for place, beam in enumerate(particles)
            if self._can_move(beam)
        ]
        self._waiting: dict[int, _Particle] = {}
        self._failures: dict[tuple[int, int], BeamFailure] = {}
        self._asked = 0

    def _can_move(self, beam: Beam) -> bool:
        comparable = beam.ended or beam.length == self._longest
        return comparable and beam.log_weight > -math.inf

    @property
    def missing(self) -> frozenset[int]:
        """Ranks whose outcomes are still awaited."""
        return frozenset(self._waiting)

    @property
    def failures(self) -> list[BeamFailure]:
        """The failures of the requests, by the order of these; the particles stayed as they were."""
        return [failure for _, failure in sorted(self._failures.items(), key=lambda one: one[0])]

    @property
    def exact(self) -> bool:
        """Whether every compared text had true log-probabilities."""
        return all(chain.exact for chain in self._chains)

    def is_exhausted(self) -> bool:
        """Return whether the budget has ended a chain, so that the moves do not count."""
        return any(chain.end == "budget" for chain in self._chains)

    @property
    def counts(self) -> tuple[int, int]:
        """The numbers of steps accepted and made."""
        accepted = sum(chain.accepted for chain in self._chains)
        return accepted, sum(chain.decided for chain in self._chains)

    def next(self) -> Round | ScoreCandidates | None:
        """Return the next requests, of all particles at once; None at the end."""
        errors = [chain.scorer_error for chain in self._chains if chain.scorer_error]
        self.scorer_error = self.scorer_error or next(iter(errors), None)
        if self.failed or self.scorer_error is not None or self.is_exhausted():
            return None
        self._waiting = {}
        self._asked += 1
        wanted = {chain: chain.step() for chain in self._chains if chain.end is None}
        if self.is_exhausted():
            return None
        rounds = {chain: step for chain, step in wanted.items() if isinstance(step, Round)}
        sampled = {chain: step for chain, step in rounds.items() if step.purpose == "expand"}
        if sampled:
            return self._merged(sampled)
        if rounds:
            return self._merged(rounds)
        scored = {chain: one for chain, one in wanted.items() if isinstance(one, ScoreCandidates)}
        if not scored:
            return None
        self._waiting = dict(enumerate(scored))
        steps = list(scored.values())
        beams = tuple(beam for one in steps for beam in one.beams)
        return ScoreCandidates(scorer=steps[0].scorer, beams=beams)

    def _merged(self, rounds: dict[_Particle, Round]) -> Round:
        """Return the rounds of several chains as one; the others repeat their step later."""
        self._waiting = dict(enumerate(rounds))
        first = next(iter(rounds.values()))
        expansions = tuple(
            attrs.evolve(one.expansions[0], rank=rank) for rank, one in enumerate(rounds.values())
        )
        purpose = "move" if first.purpose == "expand" else first.purpose
        started = EvaluationStarted(
            round=self._number,
            purpose=purpose,
            candidates=len(expansions),
            samples=sum(one.n for one in expansions),
        )
        return attrs.evolve(first, expansions=expansions, purpose=purpose, events=(started,))

    def receive(self, outcome: Outcome) -> Reaction:
        """Process the outcome for one particle."""
        chain = self._waiting.pop(outcome.rank)
        events = chain.receive(attrs.evolve(outcome, rank=0)).events
        if outcome.cancelled:
            self.failed = True
        if chain.failure is None or chain.end != "failed":
            return Reaction(events)
        self._failures[self._asked, outcome.rank] = chain.failure
        self.failed = self.failed or self._cancels
        return Reaction(events, self.missing if self._cancels else frozenset())

    def take_scores(self, beams: Sequence[Beam], scores: Sequence[float]) -> tuple[Event, ...]:
        """Set the scores requested by `ScoreCandidates`; return the events that follow."""
        chains = [self._waiting.pop(rank) for rank in range(len(beams))]
        asked = zip(chains, beams, scores, strict=True)
        return tuple(
            event for chain, beam, score in asked for event in chain.take_scores([beam], [score])
        )

    def scorer_failed(self, error: ScorerError) -> None:
        """End the moves, and with them the search."""
        self._waiting = {}
        self.scorer_error = error

    def moved(self) -> list[Beam]:
        """Return the particles with their texts and weights after the moves."""
        texts = {id(chain.before): chain for chain in self._chains}
        return [
            _reweighted(beam, texts[id(beam)].beam, self._more) if id(beam) in texts else beam
            for beam in self._particles
        ]


def _reweighted(before: Beam, after: Beam, more: float) -> Beam:
    """Return the text `after` with the weight of `before` under the intermediate target."""
    change = more * (known(before.logprob) - known(after.logprob))
    return after.replace(log_weight=before.log_weight + change, multiplicity=before.multiplicity)


def _chain_config(config: BeamSearchConfig, exponent: float, steps: int, chains: int) -> McmcConfig:
    shared = {field.name: getattr(config, field.name) for field in attrs.fields(Strategy)}
    # The search's meter keeps its budget.
    names = ("max_total_tokens", "max_completion_tokens", "max_requests", "max_cost")
    budget = dict.fromkeys(names)
    own = {"alpha": exponent, "steps": steps, "chains": chains, "min_beams": 1}
    return McmcConfig(**(shared | budget | own), scorer=config.scorer)
