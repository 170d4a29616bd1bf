"""Sequential Monte Carlo for p^alpha: beams are particles, which stay by chance, by their weight.

Blocks are sampled from q (the model at ``proposal_temperature``) where p^alpha is wanted, so a block
multiplies the weight of its particle by p(block)^alpha / q(block). When the weights have become so
unequal that the particles are worth fewer than ``ess_threshold`` of their number, particles are drawn
anew by weight, and all weigh the same. Each answer then comes up, over many searches, as often as
p^alpha says, the more exactly the more particles there are.

Where a beam has several continuations (``n_per_beam``), each has its share of its parent's weight. One
of them is drawn, which takes the weight of all; or, when it is time to resample, all of them stand
for themselves.

Weights judge a text by its beginning, and p^alpha of a text that has just ended looks better than that
of one which still has to. With ``lookahead_tokens`` each candidate's future, the sum of p^alpha over what
may follow, is estimated before particles are drawn; they are drawn by the product, and its second
factor is taken out of their weight again: an auxiliary particle filter (Pitt and Shephard 1999), unbiased
however rough the estimates are.

Power distributions of language models by sampling: Karan and Du 2025 (arXiv 2510.14901). By SMC: arXiv
2602.10273. By blocks, with estimates of the future: arXiv 2605.02427.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import attrs

from trio_beam.core.beam_search.selecting import Closing, Population, Selection
from trio_beam.core.registry import SELECTIONS
from trio_beam.core.weights import effective_size, log_mean, log_sum, normalise, systematic

if TYPE_CHECKING:
    from trio_beam.core.beam import Beam
    from trio_beam.core.config import BeamSearchConfig


@SELECTIONS.register("resample")
class Resample(Selection):
    """``beam_width`` particles, of which those that have ended keep their weight and their place."""

    weighted: ClassVar[bool] = True
    merges: ClassVar[bool] = False

    def select(self, closing: Closing, config: BeamSearchConfig) -> Population:
        """One particle of each family, or ``beam_width`` drawn of all."""
        families = _families(closing, config)
        if _unequal(families, config) and not _is_last(closing, config):
            everybody = [member for family in families for member in family.shares()]
            drawn = _draw(everybody, config.beam_width, closing.chance("everybody"))
        else:
            drawn = [
                one
                for number, family in enumerate(families)
                for one in _draw(family.shares(), 1, closing.chance(f"family {number}"))
            ]
        return Population.of(drawn)

    def ahead(self, closing: Closing, config: BeamSearchConfig) -> Sequence[Beam]:
        """Every candidate that has a future, if some may be dropped."""
        if not config.lookahead_tokens or _is_last(closing, config):
            return ()
        families = _families(closing, config)
        # One is to be drawn of each family that has several, whether or not it is time to resample.
        if config.n_per_beam == 1 and not _unequal(families, config):
            return ()
        return [
            member.beam
            for family in families
            for member in family.members
            if _goes_on(member.beam, config)
        ]


@attrs.frozen(eq=False)
class _Member:
    """A candidate with the logarithm of its future; 0 where that is not known, or over."""

    beam: Beam
    future: float

    @property
    def promise(self) -> float:
        """The logarithm of what it is drawn by: its weight times its future."""
        return self.beam.log_weight + self.future


@attrs.frozen(eq=False)
class _Family:
    """The candidates that come from one particle, each with its log-weight as if it were alone."""

    members: Sequence[_Member]

    @property
    def promise(self) -> float:
        """The mean of its members': what the particle is worth."""
        return log_mean([member.promise for member in self.members])

    def shares(self) -> list[_Member]:
        """The members, each with its share of the weight."""
        less = math.log(len(self.members))
        if not less:
            return list(self.members)
        return [
            _Member(one.beam.but(log_weight=one.beam.log_weight - less), one.future)
            for one in self.members
        ]


def _families(closing: Closing, config: BeamSearchConfig) -> list[_Family]:
    standing = [[beam] for beam in [*closing.ended, *closing.carried]]
    return [
        _Family([_Member(beam, closing.futures.get(beam, 0.0)) for beam in group])
        for group in [*standing, *closing.families(config.n_per_beam)]
    ]


def _unequal(families: Sequence[_Family], config: BeamSearchConfig) -> bool:
    promises = [family.promise for family in families]
    return bool(promises) and effective_size(promises) < config.ess_threshold * len(promises)


def _is_last(closing: Closing, config: BeamSearchConfig) -> bool:
    """Whether nothing will be expanded any more: the weights are better left as they are."""
    return not any(_goes_on(beam, config) for group in closing.groups for beam in group)


def _goes_on(beam: Beam, config: BeamSearchConfig) -> bool:
    return not beam.ended and beam.length < config.max_tokens


def _draw(members: Sequence[_Member], count: int, at: float) -> list[Beam]:
    """So many of them by their promise; together they weigh what all of them weighed."""
    if len(members) == count == 1:
        return [members[0].beam]
    promises = [member.promise for member in members]
    places = systematic(normalise(promises), count, at)
    # All are worth the same, and together what they were: the mean stays an estimate of the sum of p^alpha.
    each = log_sum(promises) - math.log(count)
    return [members[place].beam.but(log_weight=each - members[place].future) for place in places]
