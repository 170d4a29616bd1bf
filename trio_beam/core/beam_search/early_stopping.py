"""Whether enough beams have ended, by the parameter `early_stopping`."""

from __future__ import annotations

from collections.abc import Sequence

from trio_beam.core.beam import Beam
from trio_beam.core.config import BeamSearchConfig


def ends_early(config: BeamSearchConfig, active: Sequence[Beam], ended: Sequence[Beam]) -> bool:
    """Return whether a search ends before its active beams do.

    Args:
        config: of the search.
        active: beams that have not ended.
        ended: ended beams, best first.
    """
    answered = [beam for beam in ended if not beam.unanswered]
    if not config.early_stopping or len(answered) < config.beam_width:
        return False
    if config.early_stopping is True:
        return True
    worst = answered[-1].score
    bound = config.scorer_part.best_reachable  # type: ignore[union-attr]  # the configuration checks
    return all(bound(beam, config) <= worst for beam in active)
