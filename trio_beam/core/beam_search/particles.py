"""Turn particles into distinct beams with weights, and draw the answer."""

from __future__ import annotations

from collections.abc import Sequence

from trio_beam.core.beam import Beam
from trio_beam.core.weights import normalise, systematic_resample


def draw_answer(particles: Sequence[Beam], at: float) -> list[Beam]:
    """Return the distinct beams with weights: the drawn answer first, then by weight.

    Particles with the same tokens become one beam with their total weight and multiplicity.

    Args:
        particles: with log-weights.
        at: a uniform number for the draw.
    """
    particles = [beam for beam in particles if beam.continuation is not None]
    if not particles:
        return []
    weights = normalise([beam.log_weight for beam in particles])
    distinct: list[Beam] = []
    for beam, weight in zip(particles, weights, strict=True):
        twin = next(
            (
                place
                for place, other in enumerate(distinct)
                if beam.ended == other.ended and beam.same_tokens(other)
            ),
            None,
        )
        if twin is None:
            distinct.append(beam.replace(weight=weight))
        else:
            known = distinct[twin]
            distinct[twin] = known.replace(
                weight=(known.weight or 0.0) + weight,
                multiplicity=known.multiplicity + beam.multiplicity,
            )
    shares = [beam.weight or 0.0 for beam in distinct]
    answer = distinct[systematic_resample(shares, 1, at)[0]]
    others = [beam for beam in distinct if beam is not answer]
    return [answer, *sorted(others, key=lambda beam: -(beam.weight or 0.0))]
