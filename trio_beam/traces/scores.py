"""The scores that a trace has, for a scorer that no file can hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from trio_beam.core.beam import Beam
from trio_beam.errors import ReplayError, ScorerError
from trio_beam.traces.format import (
    Beams,
    Error,
    Extended,
    Node,
    Number,
    Selected,
    Standing,
    Stepped,
    Stopped,
)
from trio_beam.traces.reader import RecordedSearch
from trio_beam.traces.samples import Identity, RecordedSamples
from trio_beam.traces.strategies import UNWRITTEN
from trio_beam.traces.values import as_float, identity

#: Why a search may have been cut off between any two steps.
CUT_OFF: Final = ("deadline", "interrupted")
#: Why a search may end with a round that was not closed.
_OPEN: Final = (*CUT_OFF, "failed", "budget")
_NONE = float("-inf")


class RecordedScores:
    """The scores of a recorded search.

    Attributes:
        round: number of the round (of the block) that is served now.
        chain: number of the chain that is served now; 0 without chains.
        error: what the scorer could not say. It cannot be raised there, since that would be the scorer's
            failure.
    """

    def __init__(self, recorded: RecordedSearch, samples: RecordedSamples) -> None:
        self.round = self.chain = 0
        self.error: ReplayError | None = None
        self._samples = samples
        self._nodes: dict[int, Node] = {}
        self._scores: dict[tuple[int, int, Identity, bool], list[float]] = {}
        self._has_chains = "chains" in recorded.began.strategy
        for line in recorded.lines:
            match line:
                case Beams(beams=nodes):
                    self._nodes.update({node.node: node for node in nodes})
                case Selected(round=number, scored=scored):
                    for one in scored:
                        self._add(0, number, one.beam, _score_of(one))
                case Extended(chain=chain, block=block, beam=node, reward=reward):
                    self._add(chain, block, node, reward)
                case Stepped(chain=chain, block=block, proposed=node, reward=reward):
                    self._add(chain, block, node, reward)
        end = recorded.end
        #: Those of a round that was cut off, as far as its beams are in the result.
        self._last = {
            self._key(0, 0, one.beam): float(_score_of(one))
            for one in (end.result.beams if end is not None else [])
        }
        self._failure = _failure(end.error) if isinstance(end, Stopped) else None
        #: Whether the last round may have been scored for the result only, which has but the best.
        self._cut_off = end is not None and end.result.stop_reason in _OPEN

    def scorer(self, known: Mapping[str, Any]) -> Any:
        """Return a scorer that stands in for one that no file can hold."""

        def recorded(beams: Sequence[Beam], config: object) -> list[float]:
            del config
            return [self._score(beam) for beam in beams]

        # It stands in for an asynchronous one.
        async def awaited(beams: Sequence[Beam], config: object) -> list[float]:  # noqa: ASYNC124
            return recorded(beams, config)

        chosen: Any = awaited if known["is_async"] else recorded
        chosen.__name__ = known[UNWRITTEN]
        chosen.needs_logprobs = known["needs_logprobs"]
        chosen.ranks_siblings = known["ranks_siblings"]
        return chosen

    def _add(self, chain: int, number: int, node: int, score: Number) -> None:
        value = as_float(score)
        if value is not None:
            place = chain if self._has_chains else 0
            self._scores.setdefault(self._key(place, number, node), []).append(value)

    def _key(self, chain: int, number: int, node: int) -> tuple[int, int, Identity, bool]:
        ended = node > 0 and self._nodes[node].finish != "length"
        return chain, number, self._samples.keys(node), ended

    def _score(self, beam: Beam) -> float:
        keys = identity(beam)
        found = self._scores.get((self.chain, self.round, keys, beam.ended), [])
        if self._has_chains and found:
            return found.pop(0)  # a chain scores one text after the other
        if len(set(found)) > 1:
            raise self._told(
                f"the scorer gave {beam.text!r} several scores in round {self.round}, and the trace does not"
                " say which of its copies had which"
            )
        if found:
            return found[0]
        if (0, 0, keys, beam.ended) in self._last:
            return self._last[0, 0, keys, beam.ended]
        if self._failure is not None:
            raise self._failure
        if self._cut_off:
            return _NONE
        raise self._told(f"the score of {beam.text!r} is not in the trace")

    def _told(self, message: str) -> ReplayError:
        self.error = ReplayError(message)
        return self.error


def _score_of(one: Standing) -> float | str:
    return _NONE if one.score is None else one.score


def _failure(error: Error | None) -> ScorerError | None:
    """Return the recorded failure of a scorer."""
    if error is None or error.type != ScorerError.__name__:
        return None
    name = str(error.fields.get("scorer", ""))
    return ScorerError(name, error.message.removeprefix(f"the scorer {name!r} "))
