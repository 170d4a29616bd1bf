"""Searches that are recorded, and what two results have in common."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trio
from trio.testing import MockClock

import trio_beam
from trio_beam import BeamFailure, SampleRequest, SearchFailed, SearchResult, ServerError, Strategy
from trio_beam.observers import Trace
from trio_beam.testing import FakeEndpoint


class Unreliable(FakeEndpoint):
    """Some requests fail and some take long, at random but always the same ones."""

    def __init__(self, chance: int, failing: float, *, max_per_request: int | None = None) -> None:
        super().__init__(before=self._fail, max_per_request=max_per_request)
        self._random = random.Random(chance)
        self._failing = failing

    async def _fail(self, request: SampleRequest) -> None:
        await trio.sleep(self._random.choice([0.0, 0.1, 1.0]))
        if request.beam.length and self._random.random() < self._failing:
            raise ServerError("lost", status=500, url="http://server/v1/completions", attempts=2)


def run_recorded(
    path: Path,
    model: Any,
    strategy: Strategy,
    *,
    within: float = float("inf"),
    prompt: Any = "Once",
    **options: Any,
) -> SearchResult | SearchFailed:
    """Run a search in virtual time with a trace; return its result, or the error that it raised."""

    async def run() -> SearchResult | SearchFailed:
        with Trace(path, **options) as trace:
            try:
                return await trio_beam.search_within(
                    within, model, prompt, strategy, observers=[trace]
                )
            except SearchFailed as error:
                return error

    return trio.run(run, clock=MockClock(autojump_threshold=0))


def replayed(
    path: Path, strategy: Strategy | None = None, **given: Any
) -> SearchResult | SearchFailed:
    """The result of a replay, or the error that it raised."""
    try:
        return trio_beam.replay(path, strategy, **given)
    except SearchFailed as error:
        return error


def facts(outcome: SearchResult | SearchFailed) -> Any:
    """Everything about an outcome that can be compared."""
    if isinstance(outcome, SearchFailed):
        return [str(outcome), _failures(outcome.failures), facts(outcome.partial)]
    beams = [
        (
            *(beam.full_text, beam.tokens, beam.logprob, beam.length, beam.score, beam.weight),
            *(beam.log_weight, beam.finished, beam.finish_reason, beam.exact, beam.multiplicity),
            *(beam.thinking, beam.step_scores, beam.fragment, beam.pending, beam.trim),
            *(beam.fingerprint, beam.reasoning, beam.tool_calls),
        )
        for beam in outcome.beams
    ]
    return [
        *(outcome.text, outcome.score, beams, outcome.usage, outcome.rounds, outcome.stop_reason),
        *(_failures(outcome.failures), outcome.exact, outcome.votes, outcome.log_evidence),
    ]


def _failures(failures: Sequence[BeamFailure]) -> list[Any]:
    return [
        (
            one.beam.full_text,
            type(one.error),
            vars(one.error),
            str(one.error),
            one.attempts,
            one.round,
        )
        for one in failures
    ]
