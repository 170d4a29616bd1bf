"""When a vote is settled: the samples still to come cannot, or are unlikely to, change its winner.

The rule looks at every sample, in the order of their numbers, at the votes of the leader and of the
runner-up. A vote by count is certain when the leader's margin is larger than the number of samples left.

Before that, the criterion is that of Adaptive-Consistency (Aggarwal et al. 2023, arXiv 2305.11860): the
posterior probability, with a uniform prior, that the leader is more probable than the runner-up. It is
compared after every sample, so the probability wanted does not do as its threshold: at 0.95 and with two
equally probable answers, one full vote of 128 in eight has another winner. `votes_needed` sets the threshold
so that the probability of ever stopping at another answer than the full vote's is bounded, all looks
included, whatever the answers are.

The worst case are two equally probable answers: with fewer votes for them, or with one more probable, the
leader is less often the wrong one. For these the probability is a sum over the paths of a random walk, which
`error_rate` computes exactly. It relies on independent samples in the order of their numbers, and holds for
the vote as a whole: where the votes are close, the winner differs more often.
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
    """Tells when the answer is settled, from samples in the order of their numbers."""

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
    # The doubt allowed lies between `low`, which may be too much, and `high`, which is not.
    low, high = math.log(0.5), math.log(error / n)
    while error_rate(n, _needed(n, math.exp(high))) > error:
        low, high = high, high - 1
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if error_rate(n, _needed(n, math.exp(middle))) <= error:
            high = middle
        else:
            low = middle
    return _needed(n, math.exp(high))


#: Enough to tell thresholds that differ by a hundredth of their doubt from each other.
_HALVINGS = 10


def error_rate(n: int, needed: Sequence[int]) -> float:
    """Return the probability of stopping at another answer than the full vote's, for two equal ones.

    At a tie of all n, half of it counts.
    """
    total = 0.0
    for i, j, probability in _hits(needed):
        left, lead = n - i - j, i - j
        if left < lead:
            continue
        half = (left + lead) // 2  # more further votes than this for the other answer, and it wins
        loses = _more_than(left, half)
        ties = 0.0 if (left + lead) % 2 else _more_than(left, half - 1) - loses
        total += 2 * probability * (loses + ties / 2)  # either answer may lead
    return total


def _needed(n: int, doubt: float) -> tuple[int, ...]:
    """Return the least votes of the leader at which the posterior probability is at least 1 - `doubt`.

    With i votes against j and a uniform prior, the probability that the leader is the less probable one is
    P(X > i) for X binomial with i + j + 1 draws of probability 1/2.
    """
    found: list[int] = []
    i = 0
    for j in range(n // 2 + 1):
        i = max(i, j + 1)
        while i + j <= n and _more_than(i + j + 1, i) > doubt:
            i += 1
        found.append(i)
    return tuple(found)


@lru_cache(maxsize=1 << 16)
def _more_than(draws: int, count: int) -> float:
    """Return the probability that more than `count` of the draws of a fair coin are heads."""
    return math.fsum(
        math.exp(_log_choose(draws, k) - draws * math.log(2))
        for k in range(max(0, count + 1), draws + 1)
    )


def _hits(needed: Sequence[int]) -> Iterator[tuple[int, int, float]]:
    """Yield where votes (i for one answer, j for another) first reach i = needed[j], with the probability.

    Each vote is for either with the same probability.
    """
    reached: list[float] = []  # of the row i - 1, by j
    for i in range(max(needed) + 1):
        row: list[float] = []
        for j, limit in enumerate(needed):
            # From (i - 1, j), and from (i, j - 1), unless the vote has ended there.
            before = reached[j] if i and not _ends(i - 1, j, needed) else 0.0
            beside = row[j - 1] if j and not _ends(i, j - 1, needed) else 0.0
            here = 1.0 if i == j == 0 else (before + beside) / 2
            row.append(here)
            if i == limit and here > 0:
                yield i, j, here
        reached = row


def _ends(i: int, j: int, needed: Sequence[int]) -> bool:
    """Return whether the vote has ended with i votes for one answer and j for the other."""
    return (j < len(needed) and i >= needed[j]) or (i < len(needed) and j >= needed[i])


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
