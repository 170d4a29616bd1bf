"""Arg-max selection: the best ``beam_width`` stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_beam.core.registry import SELECTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_beam.core.beam import Beam
    from trio_beam.core.config import BeamSearchConfig


@SELECTIONS.register("top_k")
def top_k(beams: Sequence[Beam], config: BeamSearchConfig) -> Sequence[Beam]:
    """The first ``beam_width`` of the beams, which come best first."""
    return beams[: config.beam_width]
