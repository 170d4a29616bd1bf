"""Self-consistency: of several texts, one with the answer that most of them give."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trio_beam.core.beam import Beam


@attrs.frozen
class Vote:
    """What came of a vote.

    Attributes:
        winner: the best-scored text with the answer that won; None if there is no text.
        shares: each answer with its share of the votes, most first; None is no answer, and cannot win
            while there is another.
    """

    winner: Beam | None
    shares: Sequence[tuple[str | None, float]]


def vote(beams: Sequence[Beam], answer_of: Callable[[str], str | None]) -> Vote:
    """Count every text, equal ones as often as they came; a tie goes to the better-scored text."""
    groups: dict[str | None, list[Beam]] = {}
    for beam in beams:
        groups.setdefault(answer_of(beam.text), []).append(beam)
    total = sum(beam.multiplicity for beam in beams)

    def rank(answer: str | None) -> tuple[bool, int, float]:
        group = groups[answer]
        votes = sum(beam.multiplicity for beam in group)
        return answer is not None, votes, max(beam.score for beam in group)

    if not groups:
        return Vote(None, ())
    ranked = sorted(groups, key=rank, reverse=True)
    winner = max(groups[ranked[0]], key=lambda beam: beam.score)
    shares = [(answer, rank(answer)[1] / total) for answer in ranked]
    return Vote(winner, shares)
