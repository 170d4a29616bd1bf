"""Which candidates stay: the seam that selections fit into."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.beam_search.scoring import rank
from trio_beam.core.config import BeamSearchConfig


@attrs.frozen(kw_only=True, eq=False)
class Closing:
    """A round whose candidates are all in and scored.

    Attributes:
        round: its number, from 1.
        ended: beams that ended before, best first.
        carried: beams that have all the tokens they may have, and were not expanded.
        groups: the candidates of each expanded beam, in the order of the samples.
        chance: a uniform number from 0 up to but not 1 for each name that it is asked by.
        futures: of the candidates that were looked ahead from, the logarithm of what is estimated to lie
            before them.
    """

    round: int
    ended: Sequence[Beam]
    carried: Sequence[Beam]
    groups: Sequence[Sequence[Beam]]
    chance: Callable[[str], float]
    futures: Mapping[Beam, float] = attrs.field(factory=dict)

    @property
    def candidates(self) -> list[Beam]:
        """What came of the round, and what was carried over it, best first."""
        return rank([*self.carried, *(beam for group in self.groups for beam in group)])

    def families(self, n_per_beam: int) -> list[Sequence[Beam]]:
        """The candidates, so that each family may leave one beam."""
        if self.round > 1:
            return [group for group in self.groups if group]
        # All come from the empty beam, which stands for as many as there are to be.
        everybody = [beam for group in self.groups for beam in group]
        starts = range(0, len(everybody), n_per_beam)
        return [everybody[start : start + n_per_beam] for start in starts]


@attrs.frozen(kw_only=True, eq=False)
class Population:
    """What stays: the beams that go on, and those that have ended, each best first."""

    active: Sequence[Beam]
    ended: Sequence[Beam]

    @classmethod
    def of(cls, beams: Sequence[Beam]) -> Population:
        """All of them, each where it belongs."""
        return cls(
            active=[beam for beam in beams if not beam.ended],
            ended=[beam for beam in beams if beam.ended],
        )


class Selection(ABC):
    """A rule for which candidates stay. It has no state of its own."""

    #: Whether beams are particles: they have weights, and the answer is drawn by them.
    weighted: ClassVar[bool] = False
    #: Whether candidates with the same tokens may be made one, wherever they come from.
    merges: ClassVar[bool] = True

    @abstractmethod
    def select(self, closing: Closing, config: BeamSearchConfig) -> Population:
        """What stays of a round."""

    def ahead(self, closing: Closing, config: BeamSearchConfig) -> Sequence[Beam]:
        """The candidates whose future it wants to know before it selects; none, if it need not."""
        del closing, config
        return ()
