"""Sequential Monte Carlo for p^alpha: beams are particles, which stay by chance, by their weight.

Blocks are sampled from q (the model at ``proposal_temperature``) where p^alpha is wanted, so a block
multiplies the weight of its particle by p(block)^alpha / q(block). When the weights have become so
unequal that the particles are worth fewer than ``ess_threshold`` of their number, particles are drawn
anew by weight, and all weigh the same. Each answer then comes up, over many searches, as often as
p^alpha says, the more exactly the more particles there are.

Where a beam has several continuations (``n_per_beam``), each has its share of its parent's weight. One
of them is drawn, which takes the weight of all; or, when it is time to resample, all of them stand
for themselves.

Power distributions of language models by sampling: Karan and Du 2025 (arXiv 2510.14901). By SMC: arXiv
2602.10273. By blocks: arXiv 2605.02427.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from trio_beam.core.registry import SELECTIONS
from trio_beam.core.scoring import Closing, Population
from trio_beam.core.weights import effective_size, log_sum, normalise, systematic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_beam.core.beam import Beam
    from trio_beam.core.config import BeamSearchConfig


@SELECTIONS.register("resample")
def resample(closing: Closing, config: BeamSearchConfig) -> Population:
    """``beam_width`` particles, of which those that have ended keep their weight and their place."""
    standing = [*closing.ended, *closing.carried]
    groups = [group for group in _families(closing, config) if group]
    together = [*(beam.log_weight for beam in standing), *(_weight(group) for group in groups)]
    if together and effective_size(together) < config.ess_threshold * len(together):
        everybody = [*standing, *(_share(beam, group) for group in groups for beam in group)]
        particles = _draw(everybody, config.beam_width, closing.chance("everybody"))
    else:
        chosen = [
            _one_of(group, closing.chance(f"family {number}"))
            for number, group in enumerate(groups)
        ]
        particles = [*standing, *chosen]
    return Population(
        active=[beam for beam in particles if not beam.ended],
        ended=[beam for beam in particles if beam.ended],
    )


def _families(closing: Closing, config: BeamSearchConfig) -> list[Sequence[Beam]]:
    """The candidates, so that each family makes one particle."""
    if closing.round > 1:
        return list(closing.groups)
    # All come from the empty beam, which stands for as many particles as there are to be.
    everybody = [beam for group in closing.groups for beam in group]
    size = config.n_per_beam
    return [everybody[start : start + size] for start in range(0, len(everybody), size)]


def _weight(group: Sequence[Beam]) -> float:
    """The mean of the children's weights: what their family weighs."""
    return log_sum([beam.log_weight for beam in group]) - math.log(len(group))


def _share(beam: Beam, group: Sequence[Beam]) -> Beam:
    """A child with its share of what its family weighs."""
    return attrs.evolve(beam, log_weight=beam.log_weight - math.log(len(group)))


def _one_of(group: Sequence[Beam], at: float) -> Beam:
    """One child by weight; it takes the weight of the family."""
    if len(group) == 1:
        return group[0]
    (place,) = systematic(normalise([beam.log_weight for beam in group]), 1, at)
    return attrs.evolve(group[place], log_weight=_weight(group))


def _draw(particles: Sequence[Beam], count: int, at: float) -> list[Beam]:
    log_weights = [beam.log_weight for beam in particles]
    places = systematic(normalise(log_weights), count, at)
    # All the same, and together what they were: the mean weight stays an estimate of the sum of p^alpha.
    each = log_sum(log_weights) - math.log(count)
    return [attrs.evolve(particles[place], log_weight=each) for place in places]
