"""The order of beams, and how ties are broken.

Candidates are listed by parent rank and then sample index, never by arrival; a stable sort by score keeps
that order among equals.
"""

from __future__ import annotations

from collections.abc import Iterable

from trio_beam.core.beam import Beam


def best_first(beams: Iterable[Beam]) -> list[Beam]:
    """Sort by score, highest first; equal scores keep their order.

    Beams that ended without an answer come last: their scores are those of their thinking.
    """
    return sorted(beams, key=lambda beam: (beam.ended and beam.unanswered, -beam.score))
