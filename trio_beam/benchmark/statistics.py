"""Confidence intervals of pass rates and tests of differences, as plain functions of counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import attrs

from trio_beam.core.validation import check_integer, check_number
from trio_beam.errors import ConfigError


@attrs.frozen
class Interval:
    """An interval of proportions (0 to 1), or of their differences (-1 to 1)."""

    low: float
    high: float


def wilson(passed: int, total: int, confidence: float = 0.95) -> Interval:
    """Return the score interval of a pass rate (Wilson 1927).

    It contains the proportions s with ``|passed / total - s| <= z * sqrt(s * (1 - s) / total)``. Unlike the
    normal approximation, it stays within 0 % and 100 % and has a positive width there.

    Args:
        passed: number of problems solved.
        total: number of problems, including failures; for 0 the interval is (0, 1).
        confidence: above 0 and below 1.

    Raises:
        ConfigError: an argument is out of bounds.
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
    # At the ends, centre and half-width are equal up to rounding.
    low = 0.0 if passed == 0 else centre - half
    return Interval(low, 1.0 if passed == total else centre + half)


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p-value of McNemar's test for two strategies on the same problems.

    Problems that both or neither solve say nothing about the difference. If the strategies were equally
    good, each of the others would be solved by either with probability 1/2; the p-value is the probability
    of a split at least as uneven as the observed one.

    Args:
        only_first: number of problems solved only by the first.
        only_second: number of problems solved only by the second.

    Raises:
        ConfigError: an argument is not a whole number from 0 up.
    """
    check_integer("only_first", only_first, 0)
    check_integer("only_second", only_second, 0)
    different = only_first + only_second
    ways = tail = 1  # binomial coefficient of k, and the sum up to k
    for k in range(min(only_first, only_second)):
        ways = ways * (different - k) // (k + 1)
        tail += ways
    return min(1.0, float(2 * tail / 2**different))


def paired_difference(
    both: int, only_first: int, only_second: int, neither: int, confidence: float = 0.95
) -> Interval:
    """Return an interval of the first pass rate minus the second, on the same problems.

    Newcombe 1998 ("Improved confidence intervals for the difference between binomial proportions based on
    paired data"), method 10: it combines the Wilson intervals of the two rates, taking the correlation of
    the outcomes into account.

    Args:
        both: number of problems solved by both.
        only_first: solved only by the first.
        only_second: solved only by the second.
        neither: solved by neither.
        confidence: above 0 and below 1.

    Raises:
        ConfigError: an argument is out of bounds.
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
    """Return the correlation of the two outcomes, corrected towards 0 if positive."""
    margins = (both + only_first) * (only_second + neither)
    margins *= (both + only_second) * (only_first + neither)
    if not margins:
        return 0.0
    excess = both * neither - only_first * only_second
    half = (both + only_first + only_second + neither) / 2
    return (max(excess - half, 0.0) if excess > 0 else excess) / math.sqrt(margins)


def _joined(one: float, other: float, alike: float) -> float:
    """Return the length of the difference of two correlated deviations."""
    return math.sqrt(max(0.0, one * one - 2 * alike * one * other + other * other))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for multiple comparisons (Holm 1979).

    With more comparisons it becomes likelier that one looks significant by chance. With a probability of at
    least 95 %, no comparison with an adjusted p-value of at most 0.05 is significant only by chance.

    Args:
        p_values: each from 0 to 1.

    Returns:
        The adjusted p-values in the same order.

    Raises:
        ConfigError: a p-value is out of bounds.
    """
    for p in p_values:
        check_number("p_values", p, 0, maximum=1)
    adjusted = [0.0] * len(p_values)
    greatest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        greatest = max(greatest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = greatest
    return adjusted
