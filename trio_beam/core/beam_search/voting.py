"""Self-consistency: of several texts the answer that most of them come to.

Wang et al. 2022 (arXiv 2203.11171); weighted by a verifier's scores: Li et al. 2022 (arXiv 2206.02336).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Literal, TypeAlias

from trio_beam.core.beam import Beam
from trio_beam.errors import VoteError

#: What answer a text comes to; None: to none, so that it has no vote.
VoteKey: TypeAlias = Callable[[str], Hashable | None]
Votes: TypeAlias = tuple[tuple[Hashable, float], ...]


def vote(
    beams: Sequence[Beam], key: VoteKey | None, by: Literal["count", "score"]
) -> tuple[list[Beam], Votes]:
    """The beams, those of the answer with the most votes first, and each answer's share of the votes.

    By count every candidate has one vote. By score a beam has exp(score) for each of its candidates, or its
    weight where beams have one. Of answers with as many votes the one with the better beam wins.

    Args:
        beams: best first.
        key: the answer of a text; None: the text, without white space around it.
        by: what a vote counts.

    Raises:
        VoteError: `key` raised, or gave what cannot be compared.
    """
    groups: dict[Hashable, list[Beam]] = {}
    for beam in beams:
        answer = _answer(beam.text, key)
        if answer is not None:
            groups.setdefault(answer, []).append(beam)
    best = max((beam.score for group in groups.values() for beam in group), default=0.0)
    shares = {
        answer: sum(_votes(beam, by, best) for beam in group) for answer, group in groups.items()
    }
    total = sum(shares.values())
    if not total:
        return list(beams), ()
    # Sorted, and therefore stable: a tie goes to the answer that was met first.
    order = sorted(shares, key=lambda answer: -shares[answer])
    winners = groups[order[0]]
    others = [beam for beam in beams if not any(beam is winner for winner in winners)]
    return [*winners, *others], tuple((answer, shares[answer] / total) for answer in order)


def _answer(text: str, key: VoteKey | None) -> Hashable | None:
    if key is None:
        return text.strip()
    try:
        answer = key(text)
        hash(answer)
    except Exception as error:
        raise VoteError(getattr(key, "__name__", type(key).__name__), repr(error)) from error
    return answer


def _votes(beam: Beam, by: Literal["count", "score"], best: float) -> float:
    if by == "count":
        return float(beam.multiplicity)
    if beam.weight is not None:
        return beam.weight
    if best == -math.inf:
        return float(beam.multiplicity)
    if best == math.inf:
        return float(beam.multiplicity) if beam.score == math.inf else 0.0
    return beam.multiplicity * math.exp(beam.score - best)
