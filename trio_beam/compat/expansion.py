"""Expand all beams of a block concurrently."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import attrs
import trio

from trio_beam.compat.text_beam import TextBeam
from trio_beam.engine.groups import without_nursery_group
from trio_beam.errors import EndpointError

#: Samples or candidates, with their cost in prompt and completion tokens.
Result: TypeAlias = tuple[list[TextBeam], int, int]


@attrs.frozen(eq=False)
class Expanded:
    """The expanded beams of a block, by their index among the beams to expand.

    Attributes:
        results: results of successful expansions.
        errors: errors of failed ones.
    """

    results: dict[int, Result] = attrs.field(factory=dict)
    errors: dict[int, EndpointError] = attrs.field(factory=dict)

    def all(self) -> Result:
        """Return all candidates in beam order, and their total cost."""
        results = [result for _, result in sorted(self.results.items())]
        candidates = [one for some, _, _ in results for one in some]
        return candidates, sum(p for _, p, _ in results), sum(c for _, _, c in results)


async def expand_all(
    beams: Sequence[TextBeam], expand: Callable[[int, int], Awaitable[Result]]
) -> Expanded:
    """Expand beams concurrently; the first failure cancels the others.

    Args:
        beams: a beam listed several times is expanded once, for all its places.
        expand: called with an index and the number of times the beam is listed.
    """
    expanded = Expanded()

    async def run(place: int, count: int) -> None:
        try:
            expanded.results[place] = await expand(place, count)
        except EndpointError as error:
            expanded.errors[place] = error
            nursery.cancel_scope.cancel(reason="another beam could not be expanded")

    places: dict[int, list[int]] = {}
    for place, beam in enumerate(beams):
        places.setdefault(id(beam), []).append(place)
    with without_nursery_group():
        async with trio.open_nursery() as nursery:
            for same in places.values():
                nursery.start_soon(run, same[0], len(same))
    return expanded
