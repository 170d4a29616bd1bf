"""Pass rates, pass@k and maj@k with their errors, and tests of differences, as plain functions of counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean

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


@attrs.frozen
class Mean:
    """A mean over problems.

    Attributes:
        value: the mean.
        error: its standard error; infinite for a single problem.
    """

    value: float
    error: float

    def interval(self, lowest: float, confidence: float = 0.95) -> Interval:
        """Return the normal interval, from `lowest` to 1 at most."""
        half = NormalDist().inv_cdf((1 + confidence) / 2) * self.error
        return Interval(max(lowest, self.value - half), min(1.0, self.value + half))

    @property
    def p(self) -> float:
        """The two-sided p-value of a mean of 0, by the normal distribution."""
        if not self.value or math.isinf(self.error):
            return 1.0
        return 2 * (1 - NormalDist().cdf(abs(self.value) / self.error)) if self.error else 0.0


def mean_of_problems(values: Sequence[float]) -> Mean:
    """Return the mean of one value of each problem, and its standard error.

    Answers to one problem are alike, so that each problem counts as one observation: with as many answers to
    each, this is the error clustered by problem (Miller 2024, arXiv 2411.00640, section 2.2).

    Args:
        values: one of each problem, such as the share of its answers that passed; at least one.
    """
    value = fmean(values)
    count = len(values)
    if count == 1:
        return Mean(value, math.inf)
    squares = sum((one - value) ** 2 for one in values)
    return Mean(value, math.sqrt(squares / (count * (count - 1))))


def pass_at_k(total: int, passed: int, k: int) -> float:
    """Return an unbiased estimate of the probability that at least one of k answers passes.

    ``1 - C(total - passed, k) / C(total, k)``: the share of the choices of k among the answers that have one
    which passed (Chen et al. 2021, arXiv 2107.03374, equation 1).

    Raises:
        ConfigError: an argument is out of bounds; k is at most `total`.
    """
    check_integer("total", total, 1)
    check_integer("passed", passed, 0, total)
    check_integer("k", k, 1, total)
    return 1 - math.comb(total - passed, k) / math.comb(total, k)


def maj_at_k(votes: Sequence[int], right: Sequence[bool], silent: int, k: int) -> float:
    """Return the probability that the most frequent of k answers is right, with ties drawn by lot.

    The mean over all choices of k among the answers to a problem, as for `pass_at_k` (majority votes: Wang et
    al. 2022, arXiv 2203.11171).

    Args:
        votes: how many of the answers are the same, answer by answer.
        right: which of these are right.
        silent: number of texts without an answer, which may be chosen but do not vote.
        k: at most the number of all answers.

    Raises:
        ConfigError: k is out of bounds.
    """
    total = sum(votes) + silent
    check_integer("k", k, 1, total)
    ways = sum(
        _ways_to_win([one for other, one in enumerate(votes) if other != index], silent, k, mine)
        * math.comb(count, mine)
        for index, count in enumerate(votes)
        if right[index]
        for mine in range(1, min(k, count) + 1)
    )
    return ways / math.comb(total, k)


def _ways_to_win(others: Sequence[int], silent: int, k: int, mine: int) -> float:
    """Count the choices of the other ``k - mine`` in which none has more votes; a tie of n counts 1/n."""
    states = {(k - mine, 1): 1}  # what is left to choose, and how many have as many votes
    for count in others:
        after: dict[tuple[int, int], int] = {}
        for (left, tied), ways in states.items():
            for chosen in range(min(left, count, mine) + 1):
                state = left - chosen, tied + (chosen == mine)
                after[state] = after.get(state, 0) + ways * math.comb(count, chosen)
        states = after
    return sum(ways * math.comb(silent, left) / tied for (left, tied), ways in states.items())


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
