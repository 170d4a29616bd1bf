"""The same score for every candidate, for searches that choose by something else, such as a vote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.scorer import SCORERS


@SCORERS.register("equal")
@attrs.frozen
class Equal:
    """0 for every candidate, which needs no log-probabilities; the earlier sample goes first."""

    needs_logprobs: ClassVar[bool] = False
    #: Parameters of the search that it does not look at.
    ignores: ClassVar[tuple[str, ...]] = ("alpha", "use_length_penalty", "length_penalty")

    def __call__(self, beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
        """Return 0 for each beam."""
        del config
        return [0.0] * len(beams)
