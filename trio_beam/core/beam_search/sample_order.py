"""The samples of a round, counted in the order of their numbers until the answer is settled.

Which samples count, and so the answer, does not depend on the order in which they arrive. A sample that
arrives early waits for those before it, so that short texts, which are fast, have no advantage. At most
`Settling.ahead` samples are under way beyond those counted; the others are held back, because what a
cancelled request has generated is paid for.

With `Confidence`, the first samples set a threshold, and none of the others begins before that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.block import LOW_CONFIDENCE
from trio_beam.core.confidence import Confidence, ConfidenceLimit
from trio_beam.core.settling import Settling
from trio_beam.core.steps import Expansion
from trio_beam.errors import VoteError


class SampleOrder:
    """Counts samples in order.

    Args:
        expansions: of one sample each; the rank of each is the number of its sample.
        settling: tells when the answer is settled; None: with the last sample.
        confidence: which samples are given up, and cast no vote; None: none.

    Attributes:
        counted: number of samples counted so far.
        settled: whether the answer was settled before the last sample.
    """

    def __init__(
        self,
        expansions: Sequence[Expansion],
        settling: Settling | None,
        confidence: Confidence | None = None,
    ) -> None:
        self._expansions = expansions
        self._settling = settling
        self._confidence = confidence
        self._limit: ConfidenceLimit | None = None  # once the first samples have set it
        self._arrived: dict[int, Sequence[Beam]] = {}
        self.counted = 0
        self.settled = False
        self._begun = self._may_begin()

    @property
    def held(self) -> int:
        """Number of samples held back."""
        return len(self._expansions) - self._begun

    def judge(self, rank: int, beam: Beam) -> Beam:
        """Return a sample with its confidence, and without what follows the token where that fell too low."""
        if self._confidence is None:
            return beam
        limit, block, parent = self._limit, beam.continuation, beam.parent
        if limit is not None and rank >= self._warm_up and block is not None and parent is not None:
            count = limit.end(block.tokens)
            if count is not None:
                beam = parent.extend(block.first(count, LOW_CONFIDENCE))
        return self._marked(beam.replace(confidence=self._confidence.of(beam.tokens)))

    def kept(self, groups: Sequence[list[Beam]]) -> list[list[Beam]]:
        """Return the samples that count, by rank; none behind the one that settled the answer."""
        counted = groups[: self.counted] if self.settled else groups
        return [[self._marked(beam) for beam in group] for group in counted]

    def receive(self, rank: int, beams: Sequence[Beam]) -> tuple[Expansion, ...]:
        """Take a sample (no beam, if it failed); return those to begin now."""
        self._arrived[rank] = beams
        self._set_limit()
        while not self.settled and self.counted in self._arrived and self._may_count:
            beams = [self._marked(beam) for beam in self._arrived[self.counted]]
            self.counted += 1
            self.settled = self._settles(beams) and self.counted < len(self._expansions)
        if self.settled:
            return ()
        first, self._begun = self._begun, max(self._begun, self._may_begin())
        return tuple(
            attrs.evolve(expansion, confidence=self._limit)
            for expansion in self._expansions[first : self._begun]
        )

    @property
    def _warm_up(self) -> int:
        assert self._confidence is not None
        return min(self._confidence.warm_up, len(self._expansions))

    @property
    def _may_count(self) -> bool:
        return self._confidence is None or self._limit is not None

    def _may_begin(self) -> int:
        """Return how many samples may have begun."""
        if self._confidence is not None and self._limit is None:
            return self._warm_up  # which are all needed
        ahead = len(self._expansions) if self._settling is None else self._settling.ahead
        return min(len(self._expansions), self.counted + ahead)

    def _set_limit(self) -> None:
        """Set the threshold once the first samples are there."""
        if self._confidence is None or self._limit is not None:
            return
        first = range(self._warm_up)
        if all(rank in self._arrived for rank in first):
            found = [beam.confidence for rank in first for beam in self._arrived[rank]]
            threshold = self._confidence.threshold(
                [value for value in found if value is not None and math.isfinite(value)]
            )
            self._limit = self._confidence.below(threshold)

    def _marked(self, beam: Beam) -> Beam:
        """Return a beam with the verdict about its confidence."""
        if self._limit is None or beam.confidence is None:
            return beam
        given_up = beam.finish_reason == LOW_CONFIDENCE
        confident = not given_up and not self._limit.excludes(beam.confidence)
        return beam if beam.confident == confident else beam.replace(confident=confident)

    def _settles(self, beams: Sequence[Beam]) -> bool:
        try:
            return self._settling is not None and self._settling.count(beams)
        except VoteError:
            return False  # the vote at the end raises it again
