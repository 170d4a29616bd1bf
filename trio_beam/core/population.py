"""The candidates of a scored round, and the beams that a selection keeps of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.ranking import best_first


@attrs.frozen(kw_only=True, eq=False)
class ScoredRound:
    """A round whose candidates have all arrived and been scored.

    Attributes:
        number: of the round, from 1.
        ended: beams that ended in earlier rounds, best first.
        carried: beams at the maximum length, which were not expanded.
        groups: the candidates of each expanded beam, in sample order.
        chance: returns a uniform number in [0, 1) for a name.
        futures: for each candidate with rollouts, the estimated log (nats) of the sum of p^alpha over its
            futures.
    """

    number: int
    ended: Sequence[Beam]
    carried: Sequence[Beam]
    groups: Sequence[Sequence[Beam]]
    chance: Callable[[str], float]
    futures: Mapping[Beam, float] = attrs.field(factory=dict)

    @property
    def candidates(self) -> list[Beam]:
        """The candidates of the round and the carried beams, best first."""
        return best_first([*self.carried, *(beam for group in self.groups for beam in group)])

    def families(self, n_per_beam: int) -> list[Sequence[Beam]]:
        """Group the candidates into families, of which each may keep one beam."""
        if self.number > 1:
            return [group for group in self.groups if group]
        # All candidates come from the empty beam, which stands for `beam_width` beams.
        everybody = [beam for group in self.groups for beam in group]
        starts = range(0, len(everybody), n_per_beam)
        return [everybody[start : start + n_per_beam] for start in starts]


@attrs.frozen(kw_only=True, eq=False)
class Population:
    """The beams kept after a round.

    Attributes:
        active: beams to be expanded further, best first.
        ended: ended beams, best first.
        exponent: with weights, the power of p by which they were drawn, or would have been.
        effective_sample_size: with weights, that under this power, before they were drawn.
        resampled: whether they were drawn from all.
    """

    active: Sequence[Beam]
    ended: Sequence[Beam]
    exponent: float | None = None
    effective_sample_size: float | None = None
    resampled: bool = False

    @classmethod
    def of(cls, beams: Sequence[Beam]) -> Population:
        """Divide beams into active and ended ones."""
        return cls(
            active=[beam for beam in beams if not beam.ended],
            ended=[beam for beam in beams if beam.ended],
        )
