"""Searches over servers with quirks, and what has to be true of them."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Literal

import attrs
import trio
from trio.testing import MockClock

from tests.servers.quirks import KnownModel, Quirk, QuirkyFront
from tests.servers.quirks.known_model import MESSAGES, PROMPT
from trio_beam import BeamSearchConfig, RetryPolicy, SearchFailed, SearchResult, beam_search

CONFIG = BeamSearchConfig(
    beam_width=2, n_per_beam=2, tokens_per_step=3, max_tokens=6, seed=5, early_stopping=False
)
#: Requests of the search if each asks for one choice, and trials of one lesson.
_SPLIT, _TRIALS = 8, 9


@attrs.frozen
class Way:
    """How a server is asked."""

    api: Literal["completions", "chat"]
    stream: bool

    def __str__(self) -> str:
        return f"{self.api}{', streamed' if self.stream else ''}"

    def has(self, quirk: Quirk) -> bool:
        """Whether a quirk shows when a server is asked so."""
        return quirk.api in (None, self.api) and quirk.stream in (None, self.stream)


WAYS = [Way(api, stream) for api in ("completions", "chat") for stream in (False, True)]


@attrs.define
class Session:
    """Two searches, one after the other, over one endpoint.

    Attributes:
        front: the server.
        model: what is behind it.
        results: of each.
        error: instead of the result.
        counts: requests of each.
    """

    front: QuirkyFront
    model: KnownModel
    results: list[SearchResult] = attrs.field(factory=list)
    error: SearchFailed | None = None
    counts: list[int] = attrs.field(factory=list)


def run_session(quirks: list[Quirk], way: Way, searches: int = 2) -> Session:
    """Search over a server with these quirks, in virtual time."""
    return trio.run(_session, quirks, way, searches, clock=MockClock(autojump_threshold=0))


async def _session(quirks: list[Quirk], way: Way, searches: int) -> Session:
    model = KnownModel()
    session = Session(QuirkyFront(quirks, model), model)
    options: dict[str, Any] = {"api": way.api, "stream": way.stream}
    for quirk in quirks:
        options |= quirk.options
    config = attrs.evolve(CONFIG, top_logprobs=max([0, *(quirk.top for quirk in quirks)]))
    prompt = PROMPT if way.api == "completions" else MESSAGES
    async with session.front.endpoint(**options) as endpoint:
        for _ in range(searches):
            before = len(session.front.asks)
            try:
                session.results.append(await beam_search(endpoint, prompt, config))
            except SearchFailed as failed:
                session.error = failed
            session.counts.append(len(session.front.asks) - before)
            if session.error:
                break
    return session


@cache
def healthy(way: Way) -> SearchResult:
    """The result without a quirk."""
    session = run_session([], way, searches=1)
    session.model.check(session.results[0])
    return session.results[0]


def beams_of(result: SearchResult) -> list[tuple[str, float, bool]]:
    """What is compared."""
    return [(beam.text, round(beam.score, 9), beam.finished) for beam in result.beams]


def check(session: Session, quirks: list[Quirk], way: Way) -> None:
    """Assert what the table says of these quirks, all of them together."""
    outcomes = {quirk.outcome for quirk in quirks}
    passing = sum(quirk.passes for quirk in quirks)
    bound = _SPLIT * (1 + passing) + _TRIALS * len(quirks)
    if any(quirk.repeated for quirk in quirks):
        bound *= RetryPolicy().attempts
    if any(quirk.kind == "misfits" for quirk in quirks):
        bound *= 4  # some dialects ask for one choice a request, and each may find out by itself
    assert len(session.front.asks) <= bound * len(session.counts), session.counts
    for result in session.results:
        session.model.check(result, all_scored=not any(quirk.approximate for quirk in quirks))
    if session.error is not None:
        _check_error(session.error, quirks)
        vague = sum(quirk.vague or quirk.kind == "misfits" for quirk in quirks)
        assert "error" in outcomes or vague > 1, session.error
        return
    assert "error" not in outcomes, beams_of(session.results[0])
    first, second = session.results
    assert beams_of(first) == beams_of(second)
    if outcomes == {"same"}:
        assert beams_of(first) == beams_of(healthy(way))
        if passing or any(quirk.kind == "misfits" for quirk in quirks):
            return  # some request may be one that was not sent before
        again = session.front.replies[session.counts[0] :]
        assert all(reply.status < 400 for reply in again), "a lesson was paid twice"


def _check_error(error: SearchFailed, quirks: list[Quirk]) -> None:
    assert error.failures
    said = " ".join(str(failure.error) for failure in error.failures)
    expected = [quirk for quirk in quirks if quirk.outcome == "error"]
    if expected and len(quirks) == 1:
        assert re.search(expected[0].words, said), said
