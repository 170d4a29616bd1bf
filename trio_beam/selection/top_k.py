"""Arg-max selection: the best ``beam_width`` stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_beam.core.beam_search.scoring import rank
from trio_beam.core.beam_search.selecting import Closing, Population, Selection
from trio_beam.core.registry import SELECTIONS

if TYPE_CHECKING:
    from trio_beam.core.config import BeamSearchConfig


@SELECTIONS.register("top_k")
class TopK(Selection):
    """Of the candidates that can go on the best ``beam_width``, and as many of those that have ended."""

    def select(self, closing: Closing, config: BeamSearchConfig) -> Population:
        """By score."""
        candidates = closing.candidates
        ended = [beam for beam in candidates if beam.ended]
        return Population(
            active=[beam for beam in candidates if not beam.ended][: config.beam_width],
            ended=rank([*closing.ended, *ended])[: config.beam_width],
        )
