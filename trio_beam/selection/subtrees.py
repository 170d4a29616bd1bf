"""Keep the best candidate of each of several independent subtrees.

The first round creates ``beam_width`` subtrees of ``n_per_beam`` candidates; from then on each is searched
greedily on its own. No subtree can crowd out another, so the answers stay diverse, which pays off when a
verifier scores them (``scorer="judge"``, or your own). A subtree whose best candidate has ended is done.

Diverse verifier tree search: Beeching, Tunstall and Rush 2024, "Scaling test-time compute with open
models".
"""

from __future__ import annotations

from typing import ClassVar

import attrs

from trio_beam.core.config import SELECTIONS, BeamSearchConfig, Selection
from trio_beam.core.population import Population, ScoredRound
from trio_beam.core.ranking import best_first


@SELECTIONS.register("subtrees")
@attrs.frozen
class Subtrees(Selection):
    """Keeps the best candidate of each of ``beam_width`` independent subtrees."""

    # Equal tokens in two subtrees stay two beams, or one subtree would end the other.
    deduplicates: ClassVar[bool] = False

    def select(self, scored: ScoredRound, config: BeamSearchConfig) -> Population:
        """Select the best of each subtree."""
        best = [best_first(family)[0] for family in scored.families(config.n_per_beam)]
        stays = Population.of([*scored.carried, *best])
        return Population(active=stays.active, ended=best_first([*scored.ended, *stays.ended]))
