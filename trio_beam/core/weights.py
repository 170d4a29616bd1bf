"""Particles' weights: normalising them, how many particles they are worth, and resampling. Pure.

Log-weights are natural logarithms (nats), unnormalised.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def normalise(log_weights: Sequence[float]) -> list[float]:
    """Weights that sum to 1; all the same if every one of them is zero."""
    highest = max(log_weights, default=-math.inf)
    if highest == -math.inf:
        return [1 / len(log_weights)] * len(log_weights)
    weights = [math.exp(value - highest) for value in log_weights]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def log_sum(log_weights: Sequence[float]) -> float:
    """The logarithm of the sum of the weights; minus infinity if there is none."""
    highest = max(log_weights, default=-math.inf)
    if highest == -math.inf:
        return highest
    return highest + math.log(math.fsum(math.exp(value - highest) for value in log_weights))


def log_mean(log_weights: Sequence[float]) -> float:
    """The logarithm of the mean of the weights, of which there is at least one."""
    return log_sum(log_weights) - math.log(len(log_weights))


def effective_size(log_weights: Sequence[float]) -> float:
    """How many equal weights these are worth: 1 / sum(w^2), from 1 to their number.

    Kong 1992; Liu and Chen 1995, "Blind deconvolution via sequential imputations".
    """
    return 1 / math.fsum(weight * weight for weight in normalise(log_weights))


def systematic_resample(weights: Sequence[float], count: int, offset: float) -> list[int]:
    """The places of `count` particles drawn by weight, in order: systematic resampling.

    One uniform number serves all: particle k is drawn at (k + offset) / count of the cumulated weights,
    so that a weight w is drawn floor(count w) or one more times, and count w times in the mean
    (Kitagawa 1996; Douc, Cappé and Moulines 2005, arXiv cs/0507025).

    Args:
        weights: that sum to 1.
        count: how many to draw.
        offset: uniform on [0, 1).
    """
    places: list[int] = []
    cumulated = 0.0
    last = max((place for place, weight in enumerate(weights) if weight > 0), default=0)
    for place, weight in enumerate(weights):
        cumulated += weight
        # The last weight takes what rounding leaves, so that none of zero ever does.
        limit = count if place == last else min(count, math.ceil(cumulated * count - offset))
        places += [place] * (limit - len(places))
    return places
