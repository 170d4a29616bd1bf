"""Arg-max selection: keep the best ``beam_width`` candidates.

When next tokens are enumerated, an ended candidate counts only among the best ``beam_width`` of its round, as
in the field's beam search (transformers). Every beam's end is enumerated, so poor ends would otherwise take
the places of good texts and stop the search. Samples end as often as the model ends them.
"""

from __future__ import annotations

from typing import ClassVar

import attrs

from trio_beam.core.config import SELECTIONS, BeamSearchConfig, Selection
from trio_beam.core.population import Population, ScoredRound
from trio_beam.core.ranking import best_first


@SELECTIONS.register("top_k")
@attrs.frozen
class TopK(Selection):
    """Keeps the best ``beam_width`` active candidates and the best ``beam_width`` ended ones."""

    keeps_best: ClassVar[bool] = True

    def select(self, scored: ScoredRound, config: BeamSearchConfig) -> Population:
        """Select by score."""
        candidates = scored.candidates
        last = config.beam_width if config.proposal == "enumerate" else len(candidates)
        ended = [
            beam
            for place, beam in enumerate(candidates)
            # One that fills the context is not finished, but can go on no more.
            if beam.ended and (place < last or not beam.finished)
        ]
        return Population(
            active=[beam for beam in candidates if not beam.ended][: config.beam_width],
            ended=best_first([*scored.ended, *ended])[: config.beam_width],
        )
