"""Survivors of a round that stand in for particles whose requests failed.

A beam that has ended can fail no more, and one that goes on can. So to go on without the failed ones
would make ends likelier, although the failures know nothing of the texts. A failed particle is replaced by
a copy of one of the same round that could have failed and did not, each as likely as any other: then the
weights of all keep their expected sum, part by part.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

from trio_beam.core.beam import Beam

T = TypeVar("T")


def stand_ins(survivors: Sequence[T], count: int, at: float) -> list[T]:
    """Choose `count` of at least one survivor, each equally often in the mean.

    Args:
        survivors: those that could have failed and did not.
        count: how many failed.
        at: a uniform number, for the choice.
    """
    total = len(survivors)
    return [survivors[min(int((one + at) * total / count), total - 1)] for one in range(count)]


def fill_groups(groups: Sequence[Sequence[Beam]], wanted: int, at: float) -> list[list[Beam]]:
    """Fill the groups of beams without a single candidate by copies of other groups.

    A group of the first round, whose candidates stand for particles of their own, is filled by copies of
    them.

    Args:
        groups: candidates with their log-weights, at least one in all.
        wanted: particles in the first round, 0 in every other.
        at: a uniform number, for the choice.
    """
    if wanted:
        (members,) = groups
        return [[*members, *_copies(stand_ins(members, wanted - len(members), at))]]
    survivors = [group for group in groups if group]
    others = iter(stand_ins(survivors, len(groups) - len(survivors), at))
    return [list(group) if group else _copies(next(others)) for group in groups]


def replace_members(
    groups: Sequence[Sequence[Beam]], futures: Mapping[Beam, float | None], at: float
) -> tuple[list[list[Beam]], dict[Beam, float]]:
    """Replace the candidates whose future was asked for in vain by copies of those whose future is known.

    Args:
        groups: candidates with their log-weights, each as if it were the only one of its group.
        futures: of those that were asked for; None where it could not be had, but not everywhere.
        at: a uniform number, for the choice.

    Returns:
        The groups, and the futures of all.
    """
    size = {beam: len(group) for group in groups for beam in group}
    known = {beam: value for beam, value in futures.items() if value is not None}
    others = iter(stand_ins(list(known), len(futures) - len(known), at))
    filled = []
    for group in groups:
        filled.append(list(group))
        for place, beam in enumerate(group):
            if beam in futures and beam not in known:
                other = next(others)
                # Its share of the weight is the same in a group of another size.
                more = math.log(len(group)) - math.log(size[other])
                copy = other.replace(log_weight=other.log_weight + more)
                filled[-1][place] = copy
                known[copy] = known[other]
    return filled, known


def _copies(beams: Sequence[Beam]) -> list[Beam]:
    """The same texts as beams of their own: what is asked about one is not about the other."""
    return [beam.replace() for beam in beams]
