"""The samples of a round, counted in the order of their numbers until the answer is settled.

Which samples count, and so the answer, does not depend on the order in which they arrive. A sample that
arrives early waits for those before it, so that short texts, which are fast, have no advantage. At most
`Settling.ahead` samples are under way beyond those counted; the others are held back, because what a
cancelled request has generated is paid for.
"""

from __future__ import annotations

from collections.abc import Sequence

from trio_beam.core.beam import Beam
from trio_beam.core.settling import Settling
from trio_beam.core.steps import Expansion
from trio_beam.errors import VoteError


class SampleOrder:
    """Counts samples in order.

    Args:
        expansions: of one sample each; the rank of each is the number of its sample.
        settling: tells when the answer is settled.

    Attributes:
        counted: number of samples counted so far.
        settled: whether the answer was settled before the last sample.
    """

    def __init__(self, expansions: Sequence[Expansion], settling: Settling) -> None:
        self._expansions = expansions
        self._settling = settling
        self._arrived: dict[int, Sequence[Beam]] = {}
        self._begun = min(len(expansions), settling.ahead)
        self.counted = 0
        self.settled = False

    @property
    def held(self) -> int:
        """Number of samples held back."""
        return len(self._expansions) - self._begun

    def receive(self, rank: int, beams: Sequence[Beam]) -> tuple[Expansion, ...]:
        """Take a sample (no beam, if it failed); return those to begin now."""
        self._arrived[rank] = beams
        while not self.settled and self.counted in self._arrived:
            beams = self._arrived[self.counted]
            self.counted += 1
            self.settled = self._settles(beams) and self.counted < len(self._expansions)
        if self.settled:
            return ()
        first = self._begun
        self._begun = min(len(self._expansions), max(first, self.counted + self._settling.ahead))
        return tuple(self._expansions[first : self._begun])

    def _settles(self, beams: Sequence[Beam]) -> bool:
        try:
            return self._settling.count(beams)
        except VoteError:
            return False  # the vote at the end raises it again
