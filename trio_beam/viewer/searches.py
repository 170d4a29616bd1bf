"""A search as the page is given it: plain values, folded line by line, so that no trace is held in memory.

What is large in a trace, the tokens, is dropped as soon as a line has been taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, TypeAlias

import attrs
import msgspec

from trio_beam.core.usage import Usage
from trio_beam.traces import format as lines
from trio_beam.traces.format import Line
from trio_beam.traces.tree import Tree
from trio_beam.traces.values import messages_of, prompt_text, usage_from_plain, usage_to_plain
from trio_beam.viewer.plain import (
    Plain,
    answer_of,
    beam_row,
    finite,
    strategy_name,
    words_of,
)

State: TypeAlias = Literal["running", "finished", "failed", "interrupted"]


@attrs.define(eq=False)
class _Request:
    """The history of one request. Times are seconds since the search began.

    Attributes:
        waits: [from, until (null while it lasts), whether for the end of a pause].
        attempts: [sent, ended (null while it lasts), outcome, whether a hedge, error, path].
        retries: [at, seconds until it is sent again, error].
    """

    origin: lines.RequestLine
    waits: list[list[Any]] = attrs.field(factory=list)
    attempts: dict[int, list[Any]] = attrs.field(factory=dict)
    retries: list[list[Any]] = attrs.field(factory=list)


class SearchView:
    """One search, as far as its lines are known.

    Args:
        number: of the search on the page, from 1.
        began: its first line.
    """

    def __init__(self, number: int, began: lines.SearchBegan) -> None:
        self.number = number
        self.damaged = False
        self.end: lines.Finished | lines.Stopped | None = None
        self._began = began
        self._at = 0.0
        #: Cost so far: of each chain by its number, and of the preparation; without chains, of all (0).
        self._spent: dict[int, Usage] = {}
        self._tree = Tree()
        self._requests: dict[int, _Request] = {}
        self._rounds: list[Plain] = []
        self._steps: list[list[Any]] = []
        self._evaluations: list[Plain] = []
        self._pauses: list[list[Any]] = []
        self._limits: list[list[Any]] = []
        self._failures: list[list[Any]] = []
        #: Beam that was expanded, by round and rank.
        self._expanded: dict[tuple[int, int], int] = {}

    def add(self, line: Line) -> None:
        """Take the next line."""
        self._at = max(self._at, line.at)
        self._tree.add(line)
        if isinstance(line, lines.RequestLine):
            self._request(line)
        elif (take := self._TAKERS.get(type(line))) is not None:
            take(self, line)

    def summary(self) -> Plain:
        """Return what a list of searches shows."""
        result = None if self.end is None else self.end.result
        usage = sum(self._spent.values(), Usage())
        return {
            "number": self.number,
            "label": self._began.label,
            "strategy": strategy_name(self._began.strategy),
            "began": self._began.began,
            "prompt": prompt_text(self._began.prompt)[:300],
            "state": self._state(),
            "stop_reason": None if result is None else result.stop_reason,
            "score": None if result is None else finite(result.score),
            "answer": self._answer()[:300],
            "seconds": self._at,
            "beams": len(self._tree.beams) - 1,
            "usage": usage_to_plain(usage),
            "cost": usage.price_in_words,
        }

    def plain(self, *, requests: bool = True, dropped: bool = True) -> Plain:
        """Return all that the page shows.

        Args:
            requests: whether with the requests.
            dropped: whether with the beams that nothing of the result continues.
        """
        began, end = self._began, self.end
        result = None if end is None else end.result
        kept = None if dropped else self._lineages()
        left_out = [
            *([] if requests else ["requests"]),
            *([] if dropped else ["beams that are not in the result"]),
        ]
        return {
            **self.summary(),
            "parameters": began.strategy,
            "max_rounds": began.rounds,
            "messages": messages_of(began.prompt),
            "damaged": self.damaged,
            "left_out": left_out,
            "all": [
                beam_row(beam) if kept is None or beam.number in kept else None
                for beam in self._tree.beams.values()
            ],
            "requests": [self._plain_request(*one) for one in self._requests.items()]
            if requests
            else [],
            "rounds": self._rounds,
            "steps": self._steps,
            "evaluations": self._evaluations,
            "pauses": self._pauses,
            "limits": self._limits,
            "failures": self._failures,
            "message": end.message if isinstance(end, lines.Stopped) else "",
            "rounds_done": None if result is None else result.rounds,
            "exact": None if result is None else result.exact,
            "log_evidence": None if result is None else finite(result.log_evidence),
            "votes": [] if result is None else result.votes,
            "vote_intervals": [] if result is None else result.vote_intervals,
            "effective_votes": None if result is None else result.effective_votes,
            "effective_sample_size": None if result is None else result.effective_sample_size,
            "acceptance_rates": [] if result is None else result.acceptance_rates,
            "r_hat": None if result is None else finite(result.r_hat),
            "best": [] if result is None else [one.beam for one in result.beams],
        }

    def encoded(self, limit: int) -> bytes | None:
        """Return `plain` as JSON of at most `limit` bytes; None if it is larger.

        If need be the requests are left out, then the beams that nothing in the result continues.
        """
        for requests, dropped in ((True, True), (False, True), (False, False)):
            encoded = msgspec.json.encode(self.plain(requests=requests, dropped=dropped))
            if len(encoded) <= limit:
                return encoded
        return None

    def _state(self) -> State:
        match self.end:
            case None:
                return "running"
            case lines.Finished():
                return "finished"
            case lines.Stopped(result=lines.Result(stop_reason="interrupted")):
                return "interrupted"
        return "failed"

    @property
    def _has_chains(self) -> bool:
        return "chains" in self._began.strategy

    def _answer(self) -> str:
        best = [] if self.end is None else self.end.result.beams[:1]
        texts: list[str] = []
        number = best[0].beam if best else 0
        while number:
            beam = self._tree.beams[number]
            texts.append(beam.text or "")
            number = beam.parent
        return "".join(reversed(texts))

    def _lineages(self) -> set[int]:
        """Return the numbers of the beams in the result, or that still go on, and of what they continue."""
        found = {0}
        states = ("answer", "result") if self.end is not None else ("kept", "unscored")
        for beam in list(self._tree.beams.values()):
            one = beam if beam.state in states else None
            while one is not None and one.number not in found:
                found.add(one.number)
                one = self._tree.beams[one.parent]
        return found

    def _request(self, line: lines.RequestLine) -> None:
        request = self._requests.setdefault(line.request, _Request(line))
        match line:
            case lines.Waiting():
                request.waits.append([line.at, None, line.paused])
            case lines.Sent():
                if request.waits and request.waits[-1][1] is None:
                    request.waits[-1][1] = line.at
                request.attempts[line.attempt] = [line.at, None, "", line.hedge, "", line.path]
            case lines.Ended():
                attempt = request.attempts.get(line.attempt)
                if attempt is not None:
                    error = "" if line.error is None else words_of(line.error)
                    attempt[1:3], attempt[4] = [line.at, line.outcome], error
            case lines.Retried():
                request.retries.append([line.at, line.wait, words_of(line.error)])

    def _plain_request(self, number: int, request: _Request) -> list[Any]:
        origin = request.origin
        beam = self._expanded.get((origin.round, origin.rank)) if origin.round else None
        return [
            *(number, origin.round, origin.purpose, origin.rank, origin.sample),
            beam if origin.purpose == "expand" else None,
            *(request.waits, list(request.attempts.values()), request.retries),
        ]

    def _samples(self, line: lines.Samples) -> None:
        if line.usage:
            self._spent[line.rank if self._has_chains else 0] = usage_from_plain(line.usage)
        if line.purpose == "expand":
            self._expanded[line.round, line.rank] = line.beam
        if line.purpose in ("expand", "move"):
            return  # the beams that came of it have lines of their own
        self._evaluations.append(
            {
                "round": line.round,
                "purpose": line.purpose,
                "beam": line.beam,
                "answers": [answer_of(block) for block in line.blocks],
                "scores": line.step_scores,
                "errors": [words_of(error) for error in line.errors],
                "cancelled": line.cancelled,
            }
        )

    def _selected(self, line: lines.Selected) -> None:
        weighted = line.particles is not None
        found = next((one for one in reversed(self._rounds) if one["round"] == line.round), None)
        if found is None:
            found = {"round": line.round, "at": line.at}
            self._rounds.append(found)
        found |= {
            "end": line.at,
            "best": finite(line.best_score),
            "active": line.active,
            "ended": line.ended,
            "tokens": line.completion_tokens,
            "kept": [one.beam for one in line.kept],
            "candidates": len(line.scored),
            # Unnormalised, in nats.
            "weights": [[one.beam, finite(one.log_weight)] for one in line.kept]
            if weighted
            else [],
            "particles": line.particles,
        }

    def _prepared(self, line: lines.Prepared) -> None:
        self._spent[-1 if self._has_chains else 0] = usage_from_plain(line.usage)

    def _round(self, line: lines.RoundBegan) -> None:
        self._rounds.append(
            {
                "round": line.round,
                "at": line.at,
                "end": None,
                "expanded": line.beams,
                "samples": line.samples,
            }
        )

    def _stepped(self, line: lines.Stepped) -> None:
        self._steps.append(
            [
                *(line.chain, line.block, line.step, line.position, line.probability),
                *(line.accepted, line.beam, line.proposed),
            ]
        )

    def _paused(self, line: lines.Paused) -> None:
        self._pauses.append([line.at, line.seconds, words_of(line.error)])

    def _limited(self, line: lines.Limited) -> None:
        self._limits.append([line.at, line.limit, line.before])

    def _failed(self, line: lines.Failed) -> None:
        one = line.failure
        self._failures.append([one.round, one.beam, words_of(one.error), one.attempts])

    def _ended(self, line: lines.Finished | lines.Stopped) -> None:
        self.end = line
        self._spent = {0: usage_from_plain(line.result.usage)}

    _TAKERS: ClassVar[Mapping[type[Line], Callable[[Any, Any], None]]] = {
        lines.Prepared: _prepared,
        lines.RoundBegan: _round,
        lines.Samples: _samples,
        lines.Selected: _selected,
        lines.Stepped: _stepped,
        lines.Paused: _paused,
        lines.Limited: _limited,
        lines.Failed: _failed,
        lines.Finished: _ended,
        lines.Stopped: _ended,
    }
