"""The score of p^alpha, normalised for length.

``alpha * sum(log p) / m ** length_penalty`` for a beam of m tokens, in nats. The normalisation is
that of Wu et al. 2016 (arXiv 1609.08144), section 7, in its plain form (as in Hugging Face's).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trio_beam.core.registry import SCORERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_beam.core.beam import Beam
    from trio_beam.core.config import BeamSearchConfig


def power(beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
    """One score a beam; minus infinity for a beam without tokens, of which nothing is known."""
    return [_score(beam.logprob, beam.length, config) for beam in beams]


def best_reachable(beam: Beam, config: BeamSearchConfig) -> float:
    """The most that any continuation of a beam can still score.

    Its sum can only fall, so the best case is certainty for every token to come, at the greatest
    length.
    """
    return _score(beam.logprob, config.max_tokens, config)


def _score(logprob: float, length: int, config: BeamSearchConfig) -> float:
    if length == 0:
        return -math.inf
    divisor = float(length**config.length_penalty) if config.use_length_penalty else 1.0
    return config.alpha * logprob / divisor


SCORERS.register("power")(power)
