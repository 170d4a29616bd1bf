"""Particles at the end of a search: the answer drawn from them, and what their weights estimate."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trio_beam.core.beam import Beam
from trio_beam.core.weights import effective_size, log_sum, normalise, systematic_resample


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


def effective_sample_size(particles: Sequence[Beam]) -> float | None:
    """Return the effective number of particles; None without any."""
    return effective_size([beam.log_weight for beam in particles]) if particles else None


def log_evidence(particles: Sequence[Beam], began: int) -> float | None:
    """Return the log (nats) of the estimated sum of the target over all texts; None without particles.

    Args:
        particles: with log-weights.
        began: number of beams that they come from; the empty beam stands for as many as there are to be.
    """
    if not particles:
        return None
    return log_sum([beam.log_weight for beam in particles]) - math.log(began)
