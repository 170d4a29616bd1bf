"""The samples of a recorded search, by beam."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, TypeAlias

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.events import Purpose
from trio_beam.core.price import add_dollars
from trio_beam.core.steps import Expansion, Outcome
from trio_beam.core.usage import Usage
from trio_beam.core.usage_meter import NOTHING_RESERVED, Reserved
from trio_beam.errors import ReplayError
from trio_beam.traces.format import Beams, Line, Node, Prepared, Samples
from trio_beam.traces.reader import RecordedSearch
from trio_beam.traces.values import (
    block_from_plain,
    error_from_plain,
    identity,
    keys_from_plain,
    usage_from_plain,
)

#: The keys of all tokens of a beam.
Identity: TypeAlias = tuple[int | bytes, ...]
#: Purposes in the order in which a round asks.
_SHOWN = 60
_WORDS: Mapping[str, str] = {
    "expand": "continued",
    "rollout": "rolled out",
    "move": "moved",
    "judge": "shown to the judge",
    "reward": "scored by the reward model",
}


@attrs.define(eq=False)
class Recorded:
    """The recorded outcome of expanding one beam.

    Attributes:
        line: as it was written.
        spent: what it added to the cost of the search.
        reserved: what it added to what counts against the budget.
        used: whether it has been served.
    """

    line: Samples
    spent: Usage
    reserved: Reserved
    used: bool = False

    def outcome(self, rank: int, wanted: int) -> Outcome:
        """Return its first `wanted` samples, as the outcome of an expansion."""
        line = self.line
        got = {one.sample: block_from_plain(one) for one in line.blocks if one.sample < wanted}
        errors = tuple(map(error_from_plain, line.errors))
        lacks = len(got) < wanted
        scores = line.step_scores
        return Outcome(
            rank=rank,
            continuations=got,
            step_scores=None if scores is None else tuple(scores),
            errors=errors if lacks or wanted == line.wanted else (),
            cancelled=line.cancelled,
            exhausted=line.exhausted and (lacks or wanted == line.wanted),
        )


class RecordedSamples:
    """Serves each sample at most once.

    Args:
        search: the recorded search.

    Raises:
        ReplayError: the trace was written without texts, through overridden methods, or is damaged.
    """

    def __init__(self, search: RecordedSearch) -> None:
        if search.damaged:
            raise ReplayError("the trace is damaged: a line of the search is not as it was written")
        self._nodes: dict[int, Node] = {}
        self._blocks: dict[tuple[int, int], Identity] = {}
        self._found: dict[tuple[str, Identity], list[Recorded]] = {}
        self.last: Recorded | None = None
        self._count = 0
        spent: dict[int, tuple[Usage, Reserved]] = {}
        chains = "chains" in search.began.strategy
        for line in search.lines:
            if isinstance(line, Prepared) and not chains:
                spent[0] = usage_from_plain(line.usage), line.reserved
            if isinstance(line, Samples):
                before = spent.get(line.rank if chains else 0, (Usage(), NOTHING_RESERVED))
                now = usage_from_plain(line.usage), line.reserved
                self._add(line, _difference(now[0], before[0]), _less(now[1], before[1]))
                spent[line.rank if chains else 0] = now
            else:
                self._note(line)

    def _note(self, line: Line) -> None:
        if isinstance(line, Beams):
            self._nodes.update({node.node: node for node in line.beams})

    def _add(self, line: Samples, spent: Usage, reserved: Reserved) -> None:
        if line.foreign:
            raise ReplayError(
                "the search went through overridden methods of BeamSearchSampling, which no trace can repeat"
            )
        self._count += 1
        if line.number != self._count or (line.beam and line.beam not in self._nodes):
            raise ReplayError("the trace is damaged: lines of the search are missing")
        for block in line.blocks:
            if block.tokens is None:
                raise ReplayError("the trace was written without texts (texts=False)")
            self._blocks[line.number, block.sample] = tuple(block_from_plain(block).keys)
        self.last = Recorded(line, spent, reserved)
        about = (line.purpose, self.keys(line.beam))
        self._found.setdefault(about, []).append(self.last)

    @functools.cache  # noqa: B019  # it lives as long as the replay
    def keys(self, node: int) -> Identity:
        """Return the identity of a recorded beam."""
        if not node:
            return ()
        found = self._nodes[node]
        if found.block is not None:
            own = self._blocks[found.block]
        else:
            own = tuple(keys_from_plain(found.keys or []))
        return (*self.keys(found.parent), *own)

    def take(
        self,
        number: int,
        purpose: Purpose,
        expansion: Expansion,
        temperature: float,
        question: str,
    ) -> Recorded:
        """Return what was recorded about a beam.

        Args:
            number: of the round.
            purpose: of the round.
            expansion: what is asked for.
            temperature: of the samples.
            question: digest of what a judge is asked; "" if unknown.

        Raises:
            ReplayError: it was not sampled, or not like that.
        """
        known = self._found.get((purpose, identity(expansion.beam)), [])
        fitting = [one for one in known if not one.used]
        if not fitting:
            raise ReplayError(self._missing(number, purpose, expansion.beam, used=bool(known)))
        same = [
            one for one in fitting if (one.line.round, one.line.rank) == (number, expansion.rank)
        ]
        chosen = (same or fitting)[0]
        line = chosen.line
        about = f"round {number}: the beam {shown(expansion.beam)} was {_WORDS[purpose]}"
        if question and line.question and question != line.question:
            fitting = [one for one in fitting if one.line.question == question]
            if not fitting:
                raise ReplayError(f"{about}, but was asked another question about")
            chosen, line = fitting[0], fitting[0].line
        if line.max_tokens != expansion.max_tokens:
            raise ReplayError(f"{about} by {line.max_tokens} tokens, not by {expansion.max_tokens}")
        if line.temperature != temperature:
            raise ReplayError(f"{about} at temperature {line.temperature:g}, not {temperature:g}")
        if line.wanted < expansion.n:
            raise ReplayError(f"{about} {line.wanted} times, not {expansion.n} times")
        chosen.used = True
        return chosen

    def _missing(self, number: int, purpose: Purpose, beam: Beam, *, used: bool) -> str:
        what = f"round {number}: the beam {shown(beam)} was never {_WORDS[purpose]}"
        return f"{what} once more" if used else f"{what} in the recorded search"


def shown(beam: Beam) -> str:
    """Return the end of a beam's text, to be named in a message."""
    if beam.continuation is None:
        return "without text"
    text = beam.full_text
    return repr(text if len(text) <= _SHOWN else f"...{text[-_SHOWN:]}")


def _difference(now: Usage, before: Usage) -> Usage:
    values: dict[str, Any] = {}
    for field in attrs.fields(Usage):
        new, old = getattr(now, field.name), getattr(before, field.name)
        if isinstance(new, float):
            values[field.name] = add_dollars(new, -(old or 0.0))
        else:
            values[field.name] = new if new is None or old is None else new - old
    return Usage(**values)


def _less(now: Reserved, before: Reserved) -> Reserved:
    return now[0] - before[0], now[1] - before[1], now[2] - before[2]
