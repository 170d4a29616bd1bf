"""The mean log-probability per token, in nats.

Equal to `power` with a length penalty of 1 and alpha 1: it favours no length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.block import known
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.scorer import SCORERS


@SCORERS.register("mean_logprob")
@attrs.frozen
class MeanLogprob:
    """``logprob / length``, in nats per token."""

    #: Beams of the same length rank by their log-probability.
    ranks_siblings: ClassVar[bool] = True
    needs_logprobs: ClassVar[bool] = True
    #: Parameters of the search that it does not look at.
    ignores: ClassVar[tuple[str, ...]] = ("alpha", "use_length_penalty", "length_penalty")

    def __call__(self, beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
        """Return a score per beam; minus infinity for a beam without tokens."""
        del config
        return [
            known(beam.logprob) / beam.sampled_length if beam.sampled_length else -math.inf
            for beam in beams
        ]
