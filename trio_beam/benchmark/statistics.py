"""How far a pass rate may be trusted, and whether two strategies differ: plain functions of counts."""

from __future__ import annotations

import math
from statistics import NormalDist

import attrs

from trio_beam.core.config import check_real, check_whole
from trio_beam.errors import ConfigError


@attrs.frozen
class Interval:
    """From `low` to `high`, both shares from 0 to 1."""

    low: float
    high: float


def wilson(passed: int, total: int, confidence: float = 0.95) -> Interval:
    """The score interval of a share (Wilson 1927): where the true pass rate may well be.

    It holds the shares s for which ``|passed / total - s| <= z * sqrt(s * (1 - s) / total)``. Unlike
    the interval of the textbook it has a width at 0 % and at 100 %, and stays within them.

    Args:
        passed: problems that were solved.
        total: problems in all, failures included; of none at all, nothing is known: (0, 1).
        confidence: above 0 and below 1.

    Raises:
        ConfigError: an argument is out of its bounds.
    """
    check_whole("passed", passed, 0)
    check_whole("total", total, 0)
    check_real("confidence", confidence, 0, above=True)
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
    """The exact two-sided p-value of McNemar's test, for two strategies on the same problems.

    Problems that both solve, or neither, say nothing about the difference. If the strategies were
    equally good, each of the others would be solved by the first or by the second with probability 1/2;
    this is the probability of a split at least as uneven as the one that was found.

    Args:
        only_first: problems that the first alone has solved.
        only_second: problems that the second alone has solved.

    Raises:
        ConfigError: an argument is no whole number from 0 up.
    """
    check_whole("only_first", only_first, 0)
    check_whole("only_second", only_second, 0)
    different = only_first + only_second
    ways = tail = 1  # of choosing k of them; of choosing at most k
    for k in range(min(only_first, only_second)):
        ways = ways * (different - k) // (k + 1)
        tail += ways
    return min(1.0, float(2 * tail / 2**different))
