"""The tree of beams of a recorded search: what each added, how it scored, and what became of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from trio_beam.traces.format import (
    Beams,
    Error,
    Expanded,
    Extended,
    Failed,
    Line,
    Number,
    Result,
    Selected,
    Standing,
    Stepped,
)
from trio_beam.traces.reader import RecordedSearch

_ENDED = {"stop": "ended by the model", "context": "filled the context"}


@attrs.define(eq=False)
class TreeBeam:
    """A beam in the tree.

    Attributes:
        number: of the beam in the trace; 0 is the empty beam.
        text: what its last block adds; None if texts were left out.
        length: in tokens.
        round: the round in which it was made; 0 if it was not made in one.
        score: None before it was scored.
        weight: in the result, with weights.
        fate: what became of it, in words.
        in_result: its place in the result, from 1; 0 if it is not in it.
        children: the beams that continue it.
    """

    number: int
    text: str | None = ""
    length: int = 0
    finish: str = "length"
    round: int = 0
    score: Number = None
    weight: float | None = None
    fate: str = ""
    in_result: int = 0
    children: list[TreeBeam] = attrs.field(factory=list)


class Tree:
    """The beams of a search, from the empty one.

    Args:
        search: as it was recorded, perhaps not to its end.
    """

    def __init__(self, search: RecordedSearch) -> None:
        self.root = TreeBeam(0)
        self.beams: dict[int, TreeBeam] = {0: self.root}
        self._kept: set[int] = set()
        for line in search.lines:
            self._add(line)
        if search.end is not None:
            self._end(search.end.result)

    def _add(self, line: Line) -> None:
        match line:
            case Beams(beams=nodes):
                for node in nodes:
                    beam = TreeBeam(node.node, node.text, node.length, node.finish)
                    self.beams[node.node] = beam
                    self.beams[node.parent].children.append(beam)
            case Expanded(round=number, beams=beams):
                for beam in self._named(beams):
                    beam.round, beam.fate = number, "not scored"
            case Selected():
                self._select(line)
            case Failed(failure=failure):
                what = f"failed in round {failure.round}: {_words(failure.error)}"
                if failure.beam:
                    self.beams[failure.beam].fate = what
            case Extended(chain=chain, block=block, beam=number):
                self.beams[number].fate = f"chain {chain}, block {block}"
            case Stepped(chain=chain, proposed=number):
                verdict = "accepted" if line.accepted else "rejected"
                self.beams[number].fate = (
                    f"chain {chain}, block {line.block}, step {line.step}: {verdict} with probability"
                    f" {line.probability:.3g}"
                )

    def _named(self, numbers: Iterable[int]) -> list[TreeBeam]:
        return [self.beams[number] for number in numbers if number in self.beams]

    def _select(self, line: Selected) -> None:
        kept = {one.beam for one in line.kept}
        for place, one in enumerate(line.scored, 1):
            beam = self.beams[one.beam]
            self._score(beam, one)
            if one.beam not in kept:
                beam.fate = f"dropped in round {line.round}: place {place} of {len(line.scored)}"
            else:
                beam.fate = "" if beam.finish == "length" else _ended(beam)
        seen = {one.beam for one in line.scored}
        for beam in self.beams.values():
            if beam.round == line.round and beam.number not in seen and beam.fate == "not scored":
                beam.fate = "the same tokens as another, or not evaluated"
        for beam in self._named(self._kept - kept - seen):
            if beam.finish != "length":
                beam.fate = f"{_ended(beam)}; others were better in round {line.round}"
        self._kept = kept

    @staticmethod
    def _score(beam: TreeBeam, standing: Standing) -> None:
        beam.score = "-inf" if standing.score is None else standing.score

    def _end(self, result: Result) -> None:
        for place, one in enumerate(result.beams, 1):
            beam = self.beams[one.beam]
            self._score(beam, one)
            beam.in_result, beam.weight = place, one.weight
            why = _ended(beam) if beam.finish != "length" else f"stopped: {result.stop_reason}"
            beam.fate = f"the answer; {why}" if place == 1 else why


def _ended(beam: TreeBeam) -> str:
    return _ENDED.get(beam.finish, f"ended: {beam.finish}")


def _words(error: Error) -> str:
    return f"{error.type}: {error.message}" if error.message else error.type
