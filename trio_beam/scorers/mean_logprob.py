"""The mean log-probability of a token: a beam's sum over its length, in nats a token.

As `power` with a length penalty of 1 and alpha 1: no length is favoured.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trio_beam.core.registry import SCORERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_beam.core.beam import Beam
    from trio_beam.core.config import BeamSearchConfig


def mean_logprob(beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
    """One score a beam; minus infinity for a beam without tokens, of which nothing is known."""
    del config
    return [beam.logprob / beam.length if beam.length else -math.inf for beam in beams]


SCORERS.register("mean_logprob")(mean_logprob)
