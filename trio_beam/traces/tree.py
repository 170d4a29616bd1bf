"""The tree of beams of a recorded search: what each added, how it scored, and what became of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import attrs

from trio_beam.traces.format import (
    Beams,
    Error,
    Expanded,
    Extended,
    Failed,
    Failure,
    Finished,
    Line,
    Node,
    Number,
    Result,
    Selected,
    Standing,
    Stepped,
    Stopped,
)

_ENDED = {"stop": "ended by the model", "context": "filled the context"}

#: What became of a beam, in a word: ``"kept"`` goes on, ``"ended"`` has ended but is not in the result,
#: ``"unscored"`` has not been scored (yet), ``"duplicate"`` never will be, ``"part"`` is only part of others.
State: TypeAlias = Literal[
    "answer",
    "result",
    "kept",
    "ended",
    "dropped",
    "duplicate",
    "failed",
    "unscored",
    "accepted",
    "rejected",
    "part",
]


@attrs.define(eq=False)
class TreeBeam:
    """A beam in the tree.

    Attributes:
        number: of the beam in the trace; 0 is the empty beam.
        parent: number of the beam that it continues.
        text: what its last block adds; None if texts were left out.
        length: in tokens.
        logprob: sum over its tokens, in nats.
        round: the round in which it was made; 0 if it was not made in one.
        score: None before it was scored.
        weight: in the result, with weights.
        standing: the last that is known of its scores.
        state: what became of it.
        fate: the same, in words.
        in_result: its place in the result, from 1; 0 if it is not in it.
        children: the beams that continue it.
    """

    number: int
    parent: int = 0
    text: str | None = ""
    length: int = 0
    logprob: Number = None
    finish: str = "length"
    round: int = 0
    score: Number = None
    weight: float | None = None
    standing: Standing | None = None
    state: State = "part"
    fate: str = ""
    in_result: int = 0
    children: list[TreeBeam] = attrs.field(factory=list)


class Tree:
    """The beams of a search, from the empty one.

    Args:
        lines: of the search, perhaps not to its end; `add` takes more.
    """

    def __init__(self, lines: Iterable[Line] = ()) -> None:
        self.root = TreeBeam(0)
        self.beams: dict[int, TreeBeam] = {0: self.root}
        self._kept: set[int] = set()
        self._who, self._when = "chain", "block"
        #: The beams of the round that is not selected yet.
        self._fresh: list[TreeBeam] = []
        for line in lines:
            self.add(line)

    def add(self, line: Line) -> None:
        """Take the next line."""
        match line:
            case Beams(beams=nodes):
                for node in nodes:
                    self._grow(node)
            case Expanded():
                self._expand(line)
            case Selected():
                self._select(line)
            case Failed(failure=failure):
                self._fail(failure)
            case Extended():
                self._extend(line)
            case Stepped():
                self._step(line)
            case Finished(result=result) | Stopped(result=result):
                self._end(result)

    def _grow(self, node: Node) -> None:
        parent = self.beams.get(node.parent, self.root)
        beam = TreeBeam(node.node, parent.number, node.text, node.length, node.logprob, node.finish)
        self.beams[node.node] = beam
        parent.children.append(beam)

    def _expand(self, line: Expanded) -> None:
        for beam in self._named(line.beams):
            beam.round, beam.state, beam.fate = line.round, "unscored", "not scored"
            self._fresh.append(beam)

    def _fail(self, failure: Failure) -> None:
        for beam in self._named([failure.beam]):
            if beam is not self.root:
                beam.state = "failed"
                beam.fate = f"failed in round {failure.round}: {_words(failure.error)}"

    def _extend(self, line: Extended) -> None:
        for beam in self._named([line.beam]):
            beam.round, beam.state = line.block, "kept"
            beam.fate = f"chain {line.chain + 1}, block {line.block}"

    def _named(self, numbers: Iterable[int]) -> list[TreeBeam]:
        return [self.beams[number] for number in numbers if number in self.beams]

    def _step(self, line: Stepped) -> None:
        for beam in self._named([line.proposed]):
            verdict: State = "accepted" if line.accepted else "rejected"
            beam.round, beam.state = line.block, verdict
            beam.fate = (
                f"{self._who} {line.chain + 1}, {self._when} {line.block}, step {line.step}: {verdict} with"
                f" probability {line.probability:.3g}"
            )

    def _select(self, line: Selected) -> None:
        self._who, self._when = "particle", "round"  # only these have rounds
        kept = {one.beam for one in line.kept}
        for place, one in enumerate(line.scored, 1):
            for beam in self._named([one.beam]):
                self._score(beam, one)
                if one.beam not in kept:
                    beam.state = "dropped"
                    beam.fate = (
                        f"dropped in round {line.round}: place {place} of {len(line.scored)}"
                    )
                else:
                    beam.state = "kept" if beam.finish == "length" else "ended"
                    beam.fate = "" if beam.finish == "length" else _ended(beam)
        for one in line.kept:  # with weights, these are what they are drawn with
            for beam in self._named([one.beam]):
                beam.standing = one
        seen = {one.beam for one in line.scored}
        for beam in self._fresh:
            if beam.number not in seen and beam.state == "unscored":
                beam.state, beam.fate = "duplicate", "the same tokens as another, or not evaluated"
        self._fresh.clear()
        for beam in self._named(self._kept - kept - seen):
            if beam.finish != "length":
                beam.fate = f"{_ended(beam)}; others were better in round {line.round}"
        self._kept = kept

    @staticmethod
    def _score(beam: TreeBeam, standing: Standing) -> None:
        beam.score = "-inf" if standing.score is None else standing.score
        beam.standing = standing

    def _end(self, result: Result) -> None:
        for place, one in enumerate(result.beams, 1):
            for beam in self._named([one.beam]):
                if beam.in_result:
                    continue  # a particle that was drawn several times
                self._score(beam, one)
                beam.in_result, beam.weight = place, one.weight
                beam.state = "answer" if place == 1 else "result"
                why = _ended(beam) if beam.finish != "length" else f"stopped: {result.stop_reason}"
                beam.fate = f"the answer; {why}" if place == 1 else why
        for beam in self._named(self._kept):
            if beam.state == "kept" and not beam.children:
                beam.fate = "went on until the search ended"


def _ended(beam: TreeBeam) -> str:
    return _ENDED.get(beam.finish, f"ended: {beam.finish}")


def _words(error: Error) -> str:
    return f"{error.type}: {error.message}" if error.message else error.type
