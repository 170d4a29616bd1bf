"""Intervals of pass rates and tests of differences: plain functions of counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import attrs

from trio_beam.core.validation import check_integer, check_number
from trio_beam.errors import ConfigError


@attrs.frozen
class Interval:
    """An interval of shares (0 to 1), or of differences of shares (-1 to 1)."""

    low: float
    high: float


def wilson(passed: int, total: int, confidence: float = 0.95) -> Interval:
    """Compute the score interval of a pass rate (Wilson 1927).

    It contains the shares s for which ``|passed / total - s| <= z * sqrt(s * (1 - s) / total)``. Unlike
    the normal approximation it has a width at 0 % and at 100 %, and stays within them.

    Args:
        passed: problems that were solved.
        total: problems in all, failures included; of none at all, nothing is known: (0, 1).
        confidence: above 0 and below 1.

    Raises:
        ConfigError: an argument is out of its bounds.
    """
    check_integer("passed", passed, 0)
    check_integer("total", total, 0)
    check_number("confidence", confidence, 0, above=True)
    if confidence >= 1:
        raise ConfigError("confidence", "a number below 1", confidence)
    if passed > total:
        raise ConfigError("passed", f"at most total ({total})", passed)
    if not total:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, shrink = passed / total, 1 + z * z / total
    centre = (share + z * z / (2 * total)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / total + (z / (2 * total)) ** 2)
    # At the ends centre and half are equal but for rounding.
    low = 0.0 if passed == 0 else centre - half
    return Interval(low, 1.0 if passed == total else centre + half)


def mcnemar(only_first: int, only_second: int) -> float:
    """Compute the exact two-sided p-value of McNemar's test, for two strategies on the same problems.

    Problems that both solve, or neither, say nothing about the difference. If the strategies were
    equally good, each of the others would be solved by the first or by the second with probability 1/2;
    this is the probability of a split at least as uneven as the one that was found.

    Args:
        only_first: problems that the first alone has solved.
        only_second: problems that the second alone has solved.

    Raises:
        ConfigError: an argument is no whole number from 0 up.
    """
    check_integer("only_first", only_first, 0)
    check_integer("only_second", only_second, 0)
    different = only_first + only_second
    ways = tail = 1  # of choosing k of them; of choosing at most k
    for k in range(min(only_first, only_second)):
        ways = ways * (different - k) // (k + 1)
        tail += ways
    return min(1.0, float(2 * tail / 2**different))


def paired_difference(
    both: int, only_first: int, only_second: int, neither: int, confidence: float = 0.95
) -> Interval:
    """Compute an interval of the first pass rate minus the second, on the same problems.

    Newcombe 1998 ("Improved confidence intervals for the difference between binomial proportions based
    on paired data"), method 10: the Wilson intervals of the two rates, put together with regard to how
    far the strategies solve the same problems.

    Args:
        both: problems that both have solved.
        only_first: that the first alone has solved.
        only_second: that the second alone has solved.
        neither: that none has solved.
        confidence: above 0 and below 1.

    Raises:
        ConfigError: an argument is out of its bounds.
    """
    check_integer("both", both, 0)
    check_integer("only_first", only_first, 0)
    check_integer("only_second", only_second, 0)
    check_integer("neither", neither, 0)
    total = both + only_first + only_second + neither
    first = wilson(both + only_first, total, confidence)
    second = wilson(both + only_second, total, confidence)
    if not total:
        return Interval(-1.0, 1.0)
    rates = (both + only_first) / total, (both + only_second) / total
    alike = _correlation(both, only_first, only_second, neither)
    down = _joined(rates[0] - first.low, second.high - rates[1], alike)
    up = _joined(first.high - rates[0], rates[1] - second.low, alike)
    difference = (only_first - only_second) / total
    return Interval(difference - down, difference + up)


def _correlation(both: int, only_first: int, only_second: int, neither: int) -> float:
    """Correlation of the two outcomes of a problem; corrected towards 0 where it is positive."""
    margins = (both + only_first) * (only_second + neither)
    margins *= (both + only_second) * (only_first + neither)
    if not margins:
        return 0.0
    excess = both * neither - only_first * only_second
    half = (both + only_first + only_second + neither) / 2
    return (max(excess - half, 0.0) if excess > 0 else excess) / math.sqrt(margins)


def _joined(one: float, other: float, alike: float) -> float:
    """Length of the difference of two correlated deviations."""
    return math.sqrt(max(0.0, one * one - 2 * alike * one * other + other * other))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust the p-values of several comparisons, so that all of them hold together (Holm 1979).

    With each comparison the chance grows that one looks significant by luck. Those whose adjusted
    p-value is at most 0.05 are, with a probability of 95 %, all of them real.

    Args:
        p_values: each from 0 to 1; the adjusted ones come in the same order.

    Raises:
        ConfigError: one is not.
    """
    for p in p_values:
        check_number("p_values", p, 0, maximum=1)
    adjusted = [0.0] * len(p_values)
    greatest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        greatest = max(greatest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = greatest
    return adjusted
