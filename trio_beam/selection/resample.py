"""Sequential Monte Carlo for p^alpha: beams are particles, resampled by weight.

Blocks are sampled from q (the model at ``proposal_temperature``) but the target is p^alpha, so a block
multiplies its particle's weight by p(block)^alpha / q(block). When the effective sample size falls below
``ess_threshold`` of the number of particles, they are resampled by weight and get equal weights. Over many
searches each answer then occurs with its probability under p^alpha, more exactly with more particles.

If a beam has several continuations (``n_per_beam``), they share their parent's weight equally. Either one
of them is drawn and takes the weight of all, or, when it is time to resample, all of them are particles.

Weights judge a text by its beginning, and a text that has just ended looks better under p^alpha than one
that has yet to end: the sum of p over the continuations of a text is 1, but that of p^alpha is far less.
Particles are therefore drawn by p^a instead, with an exponent a that rises from 1 to alpha as texts grow
(``alpha_ramp_tokens``). With a lookahead, each candidate's future (the sum of p^alpha over its
continuations) is moreover estimated before resampling. What particles are drawn by beside their weight is
then divided out of it: an auxiliary particle filter (Pitt and Shephard 1999), unbiased whatever it is.

Power distributions of language models by sampling: Karan and Du 2025 (arXiv 2510.14901). By SMC, with an
exponent that rises: arXiv 2602.10273. By blocks, with estimates of the future: arXiv 2605.02427. Futures
and power distributions by the token: arXiv 2601.21590. Drawing by flatter weights lest particles be chosen
too early: arXiv 2510.05825.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.block import known
from trio_beam.core.config import SELECTIONS, BeamSearchConfig, Lookahead, Selection
from trio_beam.core.population import Population, ScoredRound
from trio_beam.core.validation import documented, integer, number, part
from trio_beam.core.weights import (
    effective_size,
    log_mean,
    log_sum,
    normalise,
    systematic_resample,
)


@SELECTIONS.register("resample")
@documented
@attrs.frozen
class Resample(Selection):
    """Keeps ``beam_width`` particles; ended ones keep their weights and places."""

    weighted: ClassVar[bool] = True
    deduplicates: ClassVar[bool] = False
    option_prefix: ClassVar[str] = ""

    ess_threshold: float = number(
        0.5,
        minimum=0,
        maximum=1,
        help="Resample when the effective sample size falls below this share of the number of particles;"
        " 0: never.",
    )
    lookahead: Lookahead | None = part(
        Lookahead,
        None,
        accepted="a Lookahead",
        optional=True,
        help="Rollouts that estimate each candidate's future before resampling.",
    )
    alpha_ramp_tokens: int | None = integer(
        None,
        minimum=0,
        optional=True,
        unit="tokens",
        help="Length from which particles are drawn by p^alpha; shorter ones are drawn by a power that rises"
        " from 1. None: max_tokens; 0: by p^alpha at any length.",
    )
    moves: int = integer(
        0,
        minimum=0,
        help="Metropolis-Hastings steps of each particle after each round, which regrow its text behind a"
        " random position; the search then runs to max_tokens.",
    )
    #: The text of a particle that is never dropped: the answer is then a step of particle Gibbs from it.
    reference: Beam | None = attrs.field(
        default=None,
        kw_only=True,
        validator=attrs.validators.optional(attrs.validators.instance_of(Beam)),
    )

    def select(self, scored: ScoredRound, config: BeamSearchConfig) -> Population:
        """Keep one particle of each family, or draw ``beam_width`` particles from all."""
        families = self._families(scored, config)
        resampled = self._unequal(families) and not _is_last(scored, config)
        if resampled:
            everybody = [member for family in families for member in family.shares()]
            draw = _draw if self.reference is None else _draw_others
            drawn = draw(everybody, config.beam_width, scored.chance)
        else:
            drawn = [
                one
                for number, family in enumerate(families)
                for one in _draw(family.shares(), 1, scored.chance, f"family {number}")
            ]
        if not families:
            return Population.of(drawn)
        return attrs.evolve(
            Population.of(drawn),
            exponent=self.exponent(scored, config),
            effective_sample_size=effective_size([family.promise for family in families]),
            resampled=resampled,
        )

    def lookahead_candidates(self, scored: ScoredRound, config: BeamSearchConfig) -> Sequence[Beam]:
        """Return the candidates that have a future, if some candidates may be dropped."""
        if self.lookahead is None or _is_last(scored, config):
            return ()
        families = self._families(scored, config)
        # From a family of several one is drawn, whether or not it is time to resample.
        if config.n_per_beam == 1 and not self._unequal(families):
            return ()
        return [
            member.beam
            for family in families
            for member in family.members
            if _goes_on(member.beam, config)
        ]

    def exponent(self, scored: ScoredRound, config: BeamSearchConfig) -> float:
        """Return the power of p by which particles are drawn in a round.

        It depends on the longest text that goes on, and what a lookahead sees of its future.
        """
        lengths = [beam.length for beam in scored.candidates if _goes_on(beam, config)]
        return self.power(max(lengths, default=config.max_tokens), config)

    def power(self, length: int, config: BeamSearchConfig) -> float:
        """Return the power of p by which particles of `length` tokens are drawn."""
        ramp = config.max_tokens if self.alpha_ramp_tokens is None else self.alpha_ramp_tokens
        seen = length + (self.lookahead.tokens if self.lookahead is not None else 0)
        if length >= config.max_tokens:
            return config.alpha
        return config.alpha if seen >= ramp else 1 + (config.alpha - 1) * seen / ramp

    def _families(self, scored: ScoredRound, config: BeamSearchConfig) -> list[_Family]:
        more = self.exponent(scored, config) - config.alpha
        standing = [[beam] for beam in [*scored.ended, *scored.carried]]
        return [
            _Family(
                [
                    _Member(beam, scored.futures.get(beam, 0.0) + more * known(beam.logprob))
                    for beam in group
                ]
            )
            for group in [*standing, *scored.families(config.n_per_beam)]
        ]

    def _unequal(self, families: Sequence[_Family]) -> bool:
        promises = [family.promise for family in families]
        return bool(promises) and effective_size(promises) < self.ess_threshold * len(promises)


@attrs.frozen(eq=False)
class _Member:
    """A candidate with the log of what it is drawn by beside its weight: tempering and its future."""

    beam: Beam
    twist: float

    @property
    def promise(self) -> float:
        """Log of weight times twist, by which it is drawn."""
        return self.beam.log_weight + self.twist

    def drawn(self, each: float) -> Beam:
        """Return the beam, drawn as one of several that promise `each`."""
        return self.beam.replace(log_weight=each - self.twist)


@attrs.frozen(eq=False)
class _Family:
    """The candidates of one particle, each with the full log-weight of the particle."""

    members: Sequence[_Member]

    @property
    def promise(self) -> float:
        """The mean promise of its members."""
        return log_mean([member.promise for member in self.members])

    def shares(self) -> list[_Member]:
        """Return the members, each with an equal share of the weight."""
        less = math.log(len(self.members))
        if not less:
            return list(self.members)
        return [
            _Member(one.beam.replace(log_weight=one.beam.log_weight - less), one.twist)
            for one in self.members
        ]


def _is_last(scored: ScoredRound, config: BeamSearchConfig) -> bool:
    """Return whether nothing will be expanded further, so that resampling would only add noise."""
    return not any(_goes_on(beam, config) for group in scored.groups for beam in group)


def _goes_on(beam: Beam, config: BeamSearchConfig) -> bool:
    return not beam.ended and beam.length < config.max_tokens


def _draw(
    members: Sequence[_Member],
    count: int,
    chance: Callable[[str], float],
    name: str = "everybody",
) -> list[Beam]:
    """Draw `count` members by promise, with the total weight of all members."""
    if len(members) == count == 1:
        return [members[0].beam]
    promises = [member.promise for member in members]
    places = systematic_resample(normalise(promises), count, chance(name))
    # Equal weights with the same sum keep the mean an unbiased estimate of the sum of p^alpha.
    each = log_sum(promises) - math.log(count)
    return [members[place].drawn(each) for place in places]


def _draw_others(
    members: Sequence[_Member], count: int, chance: Callable[[str], float]
) -> list[Beam]:
    """Keep the reference, and draw the others by promise, each by itself."""
    promises = [member.promise for member in members]
    shares = normalise(promises)
    each = log_sum(promises) - math.log(count)
    kept = next(member for member in members if member.beam.is_reference)
    others = [
        members[systematic_resample(shares, 1, chance(f"other {number}"))[0]]
        for number in range(count - 1)
    ]
    drawn = [member.drawn(each).replace(is_reference=False) for member in others]
    return [*drawn, kept.drawn(each)]
