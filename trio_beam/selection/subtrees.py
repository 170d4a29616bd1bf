"""Independent subtrees, of each of which the best candidate stays.

The first round makes ``beam_width`` subtrees, each of ``n_per_beam`` candidates; from then on each is
searched by itself, greedily. No subtree can be crowded out by the children of another, so the answers
stay diverse, which pays where a verifier scores them (``scorer="judge"``, or one of your own). A subtree
whose best candidate has ended is done.

Diverse verifier tree search: Beeching, Tunstall and Rush 2024, "Scaling test-time compute with open
models".
"""

from __future__ import annotations

from typing import ClassVar

import attrs

from trio_beam.core.config import SELECTIONS, BeamSearchConfig, Population, ScoredRound, Selection
from trio_beam.core.ranking import best_first


@SELECTIONS.register("subtrees")
@attrs.frozen
class Subtrees(Selection):
    """The best candidate of each of ``beam_width`` independent subtrees."""

    # The same tokens in two subtrees are two beams: else one subtree would end the other.
    deduplicates: ClassVar[bool] = False

    def select(self, scored: ScoredRound, config: BeamSearchConfig) -> Population:
        """Select the best of each subtree."""
        best = [best_first(family)[0] for family in scored.families(config.n_per_beam)]
        stays = Population.of([*scored.carried, *best])
        return Population(active=stays.active, ended=best_first([*scored.ended, *stays.ended]))
