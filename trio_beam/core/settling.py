"""When a vote is settled: the samples still to come cannot, or are unlikely to, change its winner.

The rule looks at every sample, in the order of their numbers, at the votes of the leader and of the
runner-up. A vote by count is certain when the leader's margin is larger than the number of samples left.

Before that, the criterion is that of Adaptive-Consistency (Aggarwal et al. 2023, arXiv 2305.11860): the
posterior probability, with a uniform prior, that the leader is more probable than the runner-up. It is
compared after every sample, so the probability wanted does not do as the threshold: at 0.95 and with two
equally probable answers, one full vote of 128 in nine has another winner. `votes_needed` raises the threshold
until the probability of ever stopping at another answer than the full vote's is bounded, all looks included,
whatever the answers are.

The bound: given the votes that all n samples cast together, their order is a random permutation. Let the
winner of the full vote have w votes and another answer a <= w (ties are broken without regard to the order,
or in favour of the first sample, which can only help). Their own votes come in random order too, so the
probability f(a, w) that the rule ever prefers the other answer is a share of lattice paths (a ballot problem,
as in audits of elections). All others share n - w votes, so the
probability of stopping at any of them is at most (n - w) * max over a of f(a, w) / a. f(a, w) / a grows with
a, so the maximum is at the largest a; the largest over w is the bound.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple, Protocol, TypeAlias

from trio_beam.core.beam import Beam

#: ``"certain"``, or the probability with which the full vote has the same winner.
Settle: TypeAlias = float | Literal["certain"]


class Settling(Protocol):
    """Tells when the answer is settled, from samples in the order of their numbers.

    Attributes:
        ahead: how many samples may be under way beyond those counted.
    """

    @property
    def ahead(self) -> int:
        """How many samples may be under way beyond those counted."""

    def count(self, beams: Sequence[Beam]) -> bool:
        """Count the next sample (no beam, if it failed); return whether the answer is settled now."""


class Standing(NamedTuple):
    """The votes of the two most frequent answers."""

    leader: int
    second: int


class VoteCount:
    """The votes of the first samples of n.

    Args:
        n: number of samples in the full vote.
        settle: when to stop.
    """

    def __init__(self, n: int, settle: Settle) -> None:
        self._left = n
        self._needed = () if settle == "certain" else votes_needed(n, 1 - settle)
        self._votes: Counter[Hashable] = Counter()

    def add(self, answer: Hashable | None) -> bool:
        """Count the vote of the next sample (None: it casts none); return whether the vote is settled."""
        self._left -= 1
        if answer is not None:
            self._votes[answer] += 1
        counts = [count for _, count in self._votes.most_common(2)]
        return self._is_settled(Standing(*counts, *[0] * (2 - len(counts))))

    def _is_settled(self, standing: Standing) -> bool:
        leader, second = standing
        if leader - second > self._left:
            return True
        return second < len(self._needed) and leader >= self._needed[second]


@lru_cache(maxsize=64)
def votes_needed(n: int, error: float) -> tuple[int, ...]:
    """Return how many votes settle a vote of n samples, by the number of the runner-up's votes.

    Costs some ten times n**2 steps.

    Args:
        n: number of samples in the full vote.
        error: maximum probability of stopping at another answer than the full vote's, above 0.
    """
    # The threshold lies between `low`, whose risk may be too large, and `high`, whose risk is not.
    low, high = math.log(0.5), math.log(error / n)
    while risk(n, _needed(n, math.exp(high))) > error:
        low, high = high, high - 1
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if risk(n, _needed(n, math.exp(middle))) <= error:
            high = middle
        else:
            low = middle
    return _needed(n, math.exp(high))


#: Enough to tell thresholds that differ by a hundredth of their doubt from each other.
_HALVINGS = 10


def risk(n: int, needed: Sequence[int]) -> float:
    """Return the bound on the probability of stopping at another answer than the full vote's."""
    hits = list(_hits(needed))
    return max((_risk_against(n, w, hits) for w in range(1, n)), default=0.0)


def _risk_against(n: int, w: int, hits: Sequence[tuple[int, int, float]]) -> float:
    """Return the bound if the winner has w votes."""
    most = min(w, n - w)
    return (n - w) / most * overtaking(most, w, hits)


def overtaking(a: int, w: int, hits: Sequence[tuple[int, int, float]]) -> float:
    """Return the probability that the answer with a votes is ever preferred to the one with w."""
    orders = _log_choose(a + w, a)
    return math.fsum(
        math.exp(paths + _log_choose(a + w - i - j, a - i) - orders)
        for i, j, paths in hits
        if i <= a and j <= w
    )


def _needed(n: int, doubt: float) -> tuple[int, ...]:
    """Return the least votes of the leader at which the posterior probability is at least 1 - `doubt`.

    With i votes against j and a uniform prior, the probability that the leader is the less probable one is
    P(X > i) for X binomial with i + j + 1 draws of probability 1/2.
    """
    found: list[int] = []
    i = 0
    for j in range(n // 2 + 1):
        i = max(i, j + 1)
        while i + j <= n and _doubt(i, j) > doubt:
            i += 1
        found.append(i)
    return tuple(found)


@lru_cache(maxsize=1 << 16)
def _doubt(i: int, j: int) -> float:
    draws = i + j + 1
    return math.fsum(
        math.exp(_log_choose(draws, k) - draws * math.log(2)) for k in range(i + 1, draws + 1)
    )


def _hits(needed: Sequence[int]) -> Iterator[tuple[int, int, float]]:
    """Yield where votes (i for one answer, j for another) first reach i = needed[j].

    With the logarithm of the number of orders in which they do.
    """
    half = math.log(0.5)
    reached: list[float] = []  # of the row i - 1, by j: the share of all orders of i - 1 + j votes
    for i in range(max(needed) + 1):
        row: list[float] = []
        for j, limit in enumerate(needed):
            # From (i - 1, j), and from (i, j - 1), unless the vote has ended there.
            before = reached[j] if i and i - 1 < limit else 0.0
            beside = row[j - 1] if j and i < needed[j - 1] else 0.0
            here = 1.0 if i == j == 0 else (before + beside) / 2
            row.append(here)
            if i == limit and here > 0:
                yield i, j, math.log(here) - (i + j) * half
        reached = row


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
