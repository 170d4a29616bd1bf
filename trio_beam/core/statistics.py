"""Errors and intervals of what searches estimate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain

import attrs

from trio_beam.core.weights import log_mean
from trio_beam.errors import ConfigError

#: Of a normal distribution, within which 95 % lie.
_DEVIATIONS = 1.959963984540054


#: Of Student's t distribution with 1, 2, ... degrees of freedom, within which 95 % lie.
_T = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)


def sum_interval(values: Sequence[float], count: int) -> tuple[float, tuple[float, float] | None]:
    """Estimate the sum of `count` values of which some are known, with a 95 % prediction interval.

    It assumes that those are a random sample, with about normal means.

    Args:
        values: the known ones, none below 0; at least one.
        count: of all.

    Returns:
        The sum and its interval; None with a single value.
    """
    known, left = len(values), count - len(values)
    mean = math.fsum(values) / known
    sum_known = math.fsum(values)
    total = sum_known + left * mean
    if known == 1 and left:
        return total, None
    variance = math.fsum((value - mean) ** 2 for value in values) / max(1, known - 1)
    # Of what is left, and of the estimate of its mean.
    half = _t(known - 1) * math.sqrt(variance * left * (1 + left / known)) if left else 0.0
    return total, (max(sum_known, total - half), total + half)


def _t(degrees: int) -> float:
    """Return the 97.5 % quantile of Student's t distribution; beyond a table, by Cornish and Fisher."""
    if degrees <= len(_T):
        return _T[degrees - 1]
    z = _DEVIATIONS
    first = (z**3 + z) / 4
    return z + first / degrees + (5 * z**5 + 16 * z**3 + 3 * z) / 96 / degrees**2


def wilson_interval(share: float, count: float) -> tuple[float, float]:
    """Return a 95 % interval for a probability (Wilson 1927, "Probable inference").

    Args:
        share: of the votes.
        count: number of independent votes, above 0; need not be whole.
    """
    square = _DEVIATIONS**2 / count
    middle = (share + square / 2) / (1 + square)
    spread = share * (1 - share) / count + square / (4 * count)
    half = _DEVIATIONS * math.sqrt(max(spread, 0.0)) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)


@attrs.frozen(kw_only=True)
class LogEvidence:
    """The evidence of several searches.

    Attributes:
        value: the logarithm (nats) of their mean, whose mean is unbiased.
        error: its standard error in nats, by the relative spread of the estimates; it is reliable only
            where it is well below 1.
        searches: number of searches.
    """

    value: float
    error: float
    searches: int


def mean_log_evidence(values: Sequence[float]) -> LogEvidence:
    """Combine the ``log_evidence`` of independent searches with equal settings.

    Args:
        values: of at least two searches, in nats; minus infinity where none had a weight.

    Raises:
        ConfigError: there are fewer than two, or one is neither finite nor minus infinity.
    """
    count = len(values)
    if count < 2 or any(math.isnan(value) or value == math.inf for value in values):
        raise ConfigError("values", "the log_evidence of at least two searches", list(values))
    mean = log_mean(values)
    if mean == -math.inf:
        return LogEvidence(value=mean, error=math.inf, searches=count)
    squares = math.fsum((math.exp(value - mean) - 1) ** 2 for value in values)
    return LogEvidence(value=mean, error=math.sqrt(squares / (count - 1) / count), searches=count)


def split_r_hat(traces: Sequence[Sequence[float]]) -> float | None:
    """Return the potential scale reduction of chains, each split in halves.

    Gelman et al. 2013, "Bayesian Data Analysis", section 11.4; Vehtari et al. 2021 (arXiv 1903.08008).

    Args:
        traces: a number per step of each chain; the last steps of longer chains count.

    Returns:
        From about 1 (they agree) to infinity (each has a value of its own); None if there are fewer than 4
        steps, or nothing ever changes.
    """
    length = min(map(len, traces), default=0) // 2
    if length < 2:
        return None
    halves = list(
        chain.from_iterable((one[-2 * length : -length], one[-length:]) for one in traces)
    )
    means = [math.fsum(half) / length for half in halves]
    within = math.fsum(
        math.fsum((value - mean) ** 2 for value in half) / (length - 1)
        for half, mean in zip(halves, means, strict=True)
    ) / len(halves)
    middle = math.fsum(means) / len(means)
    between = math.fsum((mean - middle) ** 2 for mean in means) / (len(means) - 1)
    if not within:
        return math.inf if between else None
    return math.sqrt((length - 1) / length + between / within)
