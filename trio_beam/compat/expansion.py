"""The expansion of all beams of a block at the same time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import attrs
import trio

from trio_beam.compat.text_beam import TextBeam
from trio_beam.engine.groups import one_nursery_less
from trio_beam.errors import EndpointError

#: Samples or candidates, with the prompt and completion tokens that they cost.
Result: TypeAlias = tuple[list[TextBeam], int, int]


@attrs.frozen(eq=False)
class Expanded:
    """The beams of a block, by their places among those that were to be expanded.

    Attributes:
        results: of each that came back.
        errors: of those that did not.
    """

    results: dict[int, Result] = attrs.field(factory=dict)
    errors: dict[int, EndpointError] = attrs.field(factory=dict)

    def all(self) -> Result:
        """All candidates, in the order of the beams, and what they cost together."""
        results = [result for _, result in sorted(self.results.items())]
        candidates = [one for some, _, _ in results for one in some]
        return candidates, sum(p for _, p, _ in results), sum(c for _, _, c in results)


async def expand_all(
    beams: Sequence[TextBeam], expand: Callable[[int, int], Awaitable[Result]]
) -> Expanded:
    """Expand beams at the same time; the first that fails ends the others.

    Args:
        beams: one that stands there several times is expanded once, for all of its places.
        expand: is given a place and how many places the beam has.
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
    with one_nursery_less():
        async with trio.open_nursery() as nursery:
            for same in places.values():
                nursery.start_soon(run, same[0], len(same))
    return expanded
