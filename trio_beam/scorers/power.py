"""The score of p^alpha, normalised for length.

``alpha * sum(log p) / m ** length_penalty`` for a beam of m sampled tokens, in nats. The normalisation is
that of Wu et al. 2016 (arXiv 1609.08144), section 7, in the simplified form that Hugging Face uses.
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


@SCORERS.register("power")
@attrs.frozen
class Power:
    """``alpha * logprob / length ** length_penalty``; its parameters are those of the search."""

    #: Beams of the same length rank by their log-probability.
    ranks_siblings: ClassVar[bool] = True
    needs_logprobs: ClassVar[bool] = True
    #: It scores by p^alpha and nothing else, which is what particles are drawn by.
    is_p_alpha: ClassVar[bool] = True

    def __call__(self, beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
        """Return a score per beam; minus infinity for a beam without tokens."""
        return [_score(beam.logprob, beam.sampled_length, config) for beam in beams]

    def best_reachable(self, beam: Beam, config: BeamSearchConfig) -> float:
        """Return an upper bound on the scores of a beam's continuations.

        The sum of log-probabilities can only fall, so the best case is that all further tokens are certain
        and the beam reaches the maximum length.
        """
        return _score(beam.logprob, config.max_tokens, config)


def _score(logprob: float | None, length: int, config: BeamSearchConfig) -> float:
    if length == 0:
        return -math.inf
    divisor = float(length**config.length_penalty) if config.use_length_penalty else 1.0
    return config.alpha * known(logprob) / divisor
