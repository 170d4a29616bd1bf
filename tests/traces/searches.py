"""Searches that are recorded, and what two results have in common."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import trio
from trio.testing import MockClock

import trio_beam
from trio_beam import (
    Beam,
    BeamFailure,
    Continuation,
    SampleRequest,
    SearchFailed,
    SearchResult,
    ServerError,
    Strategy,
)
from trio_beam.observers import Trace
from trio_beam.testing import FakeEndpoint

#: Words that become the tags of thinking, in a model that thinks.
TAGS = {" dog": "<think>", " cat": "</think>"}


class Unreliable(FakeEndpoint):
    """Some requests fail and some take long, at random but always the same ones."""

    def __init__(
        self,
        chance: int,
        failing: float,
        *,
        max_per_request: int | None = None,
        thinks: bool = False,
    ) -> None:
        super().__init__(before=self._fail, max_per_request=max_per_request)
        self._random = random.Random(chance)
        self._failing = failing
        self._thinks = thinks

    async def _fail(self, request: SampleRequest) -> None:
        await trio.sleep(self._random.choice([0.0, 0.1, 1.0]))
        later = request.beam.length or request.labels
        if later and self._random.random() < self._failing:
            raise ServerError("lost", status=500, url="http://server/v1/completions", attempts=2)

    async def answer(self, request: SampleRequest, prompt: str) -> Sequence[Continuation]:
        blocks = await super().answer(request, prompt)
        return [_with_tags(block) for block in blocks] if self._thinks else blocks


def _with_tags(block: Continuation) -> Continuation:
    tokens = tuple(
        one._replace(text=TAGS.get(one.text, one.text), id=None, bytes=None) for one in block.tokens
    )
    data = b"".join(token.text.encode() for token in tokens)
    return Continuation(
        tokens=tokens,
        data=data,
        finish_reason=block.finish_reason,
        exact=block.exact,
        proposal=block.proposal,
    )


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
    found = {field.name: getattr(outcome, field.name) for field in attrs.fields(SearchResult)}
    found["beams"] = [_of_beam(beam) for beam in outcome.beams]
    found["failures"] = _failures(outcome.failures)
    return found


def _of_beam(beam: Beam) -> list[Any]:
    own = [
        getattr(beam, field.name)
        for field in attrs.fields(Beam)
        if field.name not in ("parent", "continuation")
    ]
    return [*own, beam.full_text, beam.tokens, beam.reasoning, beam.tool_calls]


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
