"""A server's words reach nobody with a key or a control character in them, whichever way they go."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable, Iterator
from functools import partial

import httpx
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from trio.testing import MockClock

from tests.http.spellings import KEY, is_kept, spelt
from trio_beam import BeamSearchConfig, Endpoint, RetryPolicy, SearchFailed, beam_search
from trio_beam.core.events import Event
from trio_beam.core.export import result_to_dict
from trio_beam.observers.debug import DebugLines

CONFIG = BeamSearchConfig(beam_width=1, n_per_beam=1, tokens_per_step=4, max_tokens=4)
TWICE = RetryPolicy(attempts=2, wait_initial=0)


def choice(**more: object) -> httpx.Response:
    return httpx.Response(200, json={"choices": [{"index": 0, "text": " a", **more}]})


def lost(words: str) -> httpx.Response:
    try:
        raise OSError(words)
    except OSError as error:
        raise httpx.ReadError(words) from error


#: How a server says something: a response, or the end of the connection.
PLACES: dict[str, Callable[[str], httpx.Response]] = {
    "text of a refusal": lambda words: httpx.Response(401, text=words),
    "message of a refusal": lambda words: httpx.Response(
        400, json={"error": {"message": words, "code": words, "param": words}}
    ),
    "busy": lambda words: httpx.Response(429, json={"detail": [{"msg": words}]}),
    "server error": lambda words: httpx.Response(500, text="x" * 570 + words),
    "reason": lambda words: httpx.Response(
        404, extensions={"reason_phrase": words.encode("ascii", "replace")}
    ),
    "redirect": lambda words: httpx.Response(
        307, headers={"location": "http://other/" + words.encode("ascii", "replace").decode()}
    ),
    "error behind a 200": lambda words: httpx.Response(200, json={"error": {"message": words}}),
    "wrong shape": lambda words: httpx.Response(200, json={"choices": {words: words}}),
    "no JSON": lambda words: httpx.Response(200, text=f"<p>{words}</p>"),
    "finish reason": lambda words: choice(finish_reason=words),
    "error in a choice": lambda words: choice(error={"message": words}),
    "lost connection": lost,
}


def everything(error: BaseException) -> Iterator[str]:
    """All that an error may be shown by, causes and contexts included."""
    yield "".join(traceback.format_exception(error))
    yield from (str(error), repr(error), repr(error.args), repr(vars(error)))
    inside = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    for other in (error.__cause__, error.__context__, *inside):
        if other is not None:
            yield from everything(other)


async def all_that_is_shown(place: str, words: str, *, listed: bool = False) -> list[str]:
    """Search on a server that says these words; return whatever can be seen of it."""

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/models"):
            return httpx.Response(200, json={"data": [{"id": words}]})
        return PLACES[place](words)

    seen: list[str] = []

    def observe(event: Event) -> None:
        seen.append(repr(event))

    logged = logging.Handler()
    logged.emit = lambda record: seen.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("httpx")
    logger.addHandler(logged)
    logger.setLevel(logging.DEBUG)
    try:
        async with (
            httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client,
            Endpoint(
                "http://mock/v1?key=" + KEY.replace("+", "%2B"),
                model=None if listed else "toy",
                dialect="openai",
                api_key=KEY,
                retry=TWICE,
                http_client=client,
            ) as endpoint,
        ):
            with pytest.raises(SearchFailed) as caught:
                await beam_search(
                    endpoint, "p", CONFIG, observers=[observe, DebugLines(seen.append)]
                )
            seen.append(repr(endpoint))
    finally:
        logger.removeHandler(logged)
        logger.setLevel(logging.NOTSET)
    seen += everything(caught.value)
    seen.append(json.dumps(result_to_dict(caught.value.partial)))
    return seen


def shown_by(place: str, words: str, *, listed: bool = False) -> list[str]:
    clock = MockClock(autojump_threshold=0)
    return trio.run(partial(all_that_is_shown, place, words, listed=listed), clock=clock)


@pytest.mark.parametrize("place", PLACES)
def test_no_spelling_of_a_key_is_shown(place: str) -> None:
    @settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow], deadline=None)
    @given(parts=spelt())
    def check(parts: list[str]) -> None:
        for text in shown_by(place, "".join(parts)):
            assert is_kept(parts, text), text

    check()


@given(parts=spelt())
@settings(max_examples=12, deadline=None)
def test_a_model_that_is_called_by_the_key(parts: list[str]) -> None:
    for text in shown_by("no JSON", "".join(parts), listed=True):
        assert is_kept(parts, text), text


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("words", ["x\n[BeamSearch]   Best score: 0", "\x1b]0;t\x07", "a\rb"])
def test_no_control_character_is_shown(place: str, words: str) -> None:
    for text in shown_by(place, words):
        for line in text.splitlines():
            assert "Best score" not in line or "x" in line
        assert "\x1b" not in text
        assert "a\rb" not in text
