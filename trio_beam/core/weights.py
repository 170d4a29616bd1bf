"""Particle weights: normalisation, effective sample size, resampling.

Log-weights are natural logarithms (nats), unnormalised.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def normalise(log_weights: Sequence[float]) -> list[float]:
    """Normalise weights so that they sum to 1; uniform if all of them are zero."""
    highest = max(log_weights, default=-math.inf)
    if highest == -math.inf:
        return [1 / len(log_weights)] * len(log_weights)
    weights = [math.exp(value - highest) for value in log_weights]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def log_sum(log_weights: Sequence[float]) -> float:
    """Return the logarithm of the sum of the weights; minus infinity if there is none."""
    highest = max(log_weights, default=-math.inf)
    if highest == -math.inf:
        return highest
    return highest + math.log(math.fsum(math.exp(value - highest) for value in log_weights))


def log_mean(log_weights: Sequence[float]) -> float:
    """Return the logarithm of the mean of at least one weight."""
    return log_sum(log_weights) - math.log(len(log_weights))


def effective_size(log_weights: Sequence[float]) -> float:
    """Return the effective sample size of normalised weights: 1 / sum(w^2), from 1 to their number.

    Kong 1992; Liu and Chen 1995, "Blind deconvolution via sequential imputations".
    """
    return 1 / math.fsum(weight * weight for weight in normalise(log_weights))


def systematic_resample(weights: Sequence[float], count: int, offset: float) -> list[int]:
    """Draw `count` particles by weight; return their indices in order.

    A single uniform number determines all draws: particle k is drawn at (k + offset) / count of the
    cumulative weights, so a weight w is drawn floor(count w) or one more times, and count w times on
    average (Kitagawa 1996; Douc, Cappé and Moulines 2005, arXiv cs/0507025).

    Args:
        weights: summing to 1.
        count: number of draws.
        offset: uniform on [0, 1).
    """
    places: list[int] = []
    cumulated = 0.0
    last = max((place for place, weight in enumerate(weights) if weight > 0), default=0)
    for place, weight in enumerate(weights):
        cumulated += weight
        # The last positive weight takes any rounding remainder, so that no zero weight is drawn.
        limit = count if place == last else min(count, math.ceil(cumulated * count - offset))
        places += [place] * (limit - len(places))
    return places
