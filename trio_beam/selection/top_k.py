"""Arg-max selection: the best ``beam_width`` stay.

Where next tokens are enumerated, a candidate that ends counts only if it is itself among the best
``beam_width`` of its round, as in the field's beam search (transformers). With every candidate's end
enumerated, poor ends would fill the places of good texts, and end the search. Samples end as often as
the model has it.
"""

from __future__ import annotations

from typing import ClassVar

import attrs

from trio_beam.core.config import SELECTIONS, BeamSearchConfig, Population, ScoredRound, Selection
from trio_beam.core.ranking import best_first


@SELECTIONS.register("top_k")
@attrs.frozen
class TopK(Selection):
    """Of the candidates that can go on the best ``beam_width``, and as many of those that have ended."""

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
