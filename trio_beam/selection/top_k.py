"""Arg-max selection: keep the best ``beam_width`` candidates."""

from __future__ import annotations

from typing import ClassVar

import attrs

from trio_beam.core.config import SELECTIONS, BeamSearchConfig, Population, ScoredRound, Selection
from trio_beam.core.ranking import best_first


@SELECTIONS.register("top_k")
@attrs.frozen
class TopK(Selection):
    """Keeps the best ``beam_width`` active candidates and the best ``beam_width`` ended ones."""

    keeps_best: ClassVar[bool] = True

    def select(self, scored: ScoredRound, config: BeamSearchConfig) -> Population:
        """Select by score."""
        candidates = scored.candidates
        ended = [beam for beam in candidates if beam.ended]
        return Population(
            active=[beam for beam in candidates if not beam.ended][: config.beam_width],
            ended=best_first([*scored.ended, *ended])[: config.beam_width],
        )
