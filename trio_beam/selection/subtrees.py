"""Independent subtrees, of each of which the best candidate stays.

The first round makes ``beam_width`` subtrees, each of ``n_per_beam`` candidates; from then on each is
searched by itself, greedily. No subtree can be crowded out by the children of another, so the answers
stay diverse, which pays where a verifier scores them (``scorer="judge"``, or one of your own). A subtree
whose best candidate has ended is done.

Diverse verifier tree search: Beeching, Tunstall and Rush 2024, "Scaling test-time compute with open
models".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from trio_beam.core.beam_search.scoring import rank
from trio_beam.core.beam_search.selecting import Closing, Population, Selection
from trio_beam.core.registry import SELECTIONS

if TYPE_CHECKING:
    from trio_beam.core.config import BeamSearchConfig


@SELECTIONS.register("subtrees")
class Subtrees(Selection):
    """One beam a subtree."""

    # The same tokens in two subtrees are two beams: else one subtree would end the other.
    merges: ClassVar[bool] = False

    def select(self, closing: Closing, config: BeamSearchConfig) -> Population:
        """The best of each."""
        best = [rank(family)[0] for family in closing.families(config.n_per_beam)]
        stays = Population.of([*closing.carried, *best])
        return Population(active=stays.active, ended=rank([*closing.ended, *stays.ended]))
