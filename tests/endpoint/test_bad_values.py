"""JSON that no server should send: every value in every wrong way."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import attrs
import pytest

from tests.endpoint.bad_json import (
    SHAPES,
    Place,
    changed,
    is_for_tokens,
    replaced,
    spoiling,
)
from tests.endpoint.bad_peer import (
    CONFIG,
    DEEP,
    NOT_JSON,
    bad_peer,
    found,
)
from tests.servers.fault_server import (
    HEALTHY,
    Fault,
    Request,
)
from tests.servers.mock_server import at_rest
from tests.servers.socket_server import http_answer
from trio_beam import (
    EndpointError,
    LogprobsUnavailable,
    MalformedResponse,
    SearchFailed,
    SearchResult,
    beam_search,
)
from trio_beam.core.block import known


@attrs.frozen
class Bad:
    """A value that stands where another should.

    Attributes:
        where: as `Shape.place` says.
        raw: its bytes.
        words: what the message must say, as a pattern.
        kinds: the class of the error; a dict if it is not the same for each shape; None if the
            value must be put up with.
        transient: whether it looks like a broken body, which is asked for again; or in which shapes.
    """

    where: str
    raw: bytes
    words: str = ""
    kinds: type[EndpointError] | dict[str, type[EndpointError] | None] | None = MalformedResponse
    transient: bool | tuple[str, ...] = False

    def is_transient(self, name: str) -> bool:
        return self.transient is True or (self.transient is not False and name in self.transient)

    def kind(self, name: str) -> type[EndpointError] | None:
        return self.kinds[name] if isinstance(self.kinds, dict) else self.kinds


#: Missing in the OpenAI protocol, where they may be; of a wrong type in llama.cpp's own.
MISSING: dict[str, type[EndpointError] | None] = {
    "completions": LogprobsUnavailable,
    "chat": LogprobsUnavailable,
    "native": MalformedResponse,
}
#: Optional in the OpenAI protocol.
OPTIONAL: dict[str, type[EndpointError] | None] = {
    "completions": None,
    "chat": None,
    "native": MalformedResponse,
}
OPENAI = ("completions", "chat")
#: Not what the tokens spell, which a dialect without token ids has to notice.
OTHER_TEXT: dict[str, type[EndpointError] | None] = {
    "completions": LogprobsUnavailable,
    "chat": LogprobsUnavailable,
    "native": None,
}


BAD = {
    "a logprob of NaN": Bad("logprob", b"NaN", kinds=LogprobsUnavailable),
    "a logprob of Infinity": Bad("logprob", b"Infinity", "is above 0"),
    "a logprob of -Infinity": Bad("logprob", b"-Infinity", kinds=LogprobsUnavailable),
    "a logprob of 1e400": Bad("logprob", b"1e400", "out of range"),
    "a logprob of -1e400": Bad("logprob", b"-1e400", "out of range"),
    "a logprob of 5000 digits": Bad("logprob", b"-" + b"9" * 5000, "out of range"),
    "a positive logprob": Bad("logprob", b"0.5", "log-probability of 0.5 is above 0"),
    "a huge positive logprob": Bad("logprob", b"1" * 300, "is above 0"),
    "a huge negative logprob": Bad("logprob", b"-1e308", kinds=LogprobsUnavailable),
    "a logprob of null": Bad("logprob", b"null", kinds=MISSING),
    "a logprob as a string": Bad("logprob", b'"-1"', "got `str`"),
    "a logprob of true": Bad("logprob", b"true", "got `bool`"),
    "a logprob as a list": Bad("logprob", b"[-1]", "got `array`"),
    "no logprobs": Bad("logprobs", b"null", kinds=MISSING),
    "empty logprobs": Bad(
        "logprobs",
        b"{}",
        kinds=MISSING,
    ),
    "logprobs as a string": Bad("logprobs", b'"-1"', "got `str`"),
    "bytes that are no UTF-8": Bad("text", b'"\xff\xfe"', NOT_JSON, transient=True),
    "a cut UTF-8 character": Bad("text", b'"\xe2\x82"', NOT_JSON, transient=True),
    "a lone surrogate, escaped": Bad("text", rb'"\ud800 "', NOT_JSON, transient=True),
    "a lone low surrogate": Bad("text", rb'"\udc00 "', NOT_JSON, transient=True),
    "a lone surrogate as bytes": Bad("text", b'"\xed\xa0\x80"', NOT_JSON, transient=True),
    "a raw NUL": Bad("text", b'"a\0b"', NOT_JSON, transient=True),
    "an escaped NUL": Bad("text", rb'"a\u0000b"', kinds=OTHER_TEXT),
    "control characters": Bad("text", rb'"\u001b[2J\u0007\u2028\ufeff"', kinds=OTHER_TEXT),
    "a text of null": Bad("text", b"null"),
    "a text that is a number": Bad("text", b"5", "got `int`|no text"),
    "an index below 0": Bad("index", b"-1", kinds=None),
    "a huge index": Bad("index", b"9" * 400, kinds=None),
    "an index of 5000 digits": Bad("index", b"9" * 5000, "out of range"),
    "an index of 1e400": Bad("index", b"1e400", "out of range"),
    "an index of null": Bad("index", b"null", kinds=OPTIONAL),
    "an index as a string": Bad("index", b'"0"', "got `str`"),
    "no choices": Bad("choices", b"[]", "no choices|no continuation", transient=OPENAI),
    "choices of null": Bad("choices", b"null", "got `null`|no choices", transient=OPENAI),
    "choices as a string": Bad("choices", b'"a"', "got `str`"),
    "choices that are numbers": Bad("choices", b"[1,2]", "got `int`"),
    "a choice of null": Bad("choice", b"null", "got `null`"),
    "choices nested too deeply": Bad("choices", DEEP, "got `array`|nested too deeply"),
    "a text nested too deeply": Bad("text", DEEP, "got `array`|nested too deeply"),
    "logprobs nested too deeply": Bad(
        "logprobs", b'{"a":' * 100_000, "got `object`|nested too deeply"
    ),
    "an unknown field nested too deeply": Bad(
        "choice", b'{"more":' + DEEP + b"]" * 100_000 + b"}", "nested too deeply"
    ),
    "a count as a string": Bad("count", b'"7"', kinds=OPTIONAL),
    "a count of 1e400": Bad("count", b"1e400", "out of range"),
    "a count of 5000 digits": Bad("count", b"9" * 5000, "out of range"),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_a_value_that_should_not_be(bad: Bad, name: str) -> None:
    shape = SHAPES[name]

    def spoil(right: bytes) -> bytes:
        answer = json.loads(right)
        if isinstance(answer, dict) and not shape.choices:
            answer = [answer]
        return replaced(answer, shape.place(bad.where), bad.raw)

    async with spoiling(shape, spoil) as peer:
        outcome = await peer.search()
        kind = bad.kind(name)
        assert type(outcome) is (kind or SearchResult)
        if isinstance(outcome, EndpointError):
            attempts = 2 if bad.is_transient(name) else 1
            assert outcome.attempts == len(peer.server.requests) == attempts
            assert re.search(bad.words, outcome.message)
            assert outcome.url.startswith(peer.server.url.removesuffix("/v1"))
        else:
            assert outcome.stop_reason == "max_tokens"
            assert [beam.length for beam in outcome.beams] == [6, 6]


async def test_what_is_not_json_is_said_where_the_beginning_does_not_show_it() -> None:
    def spoil(right: bytes) -> bytes:
        answer = {"padding": "x" * 1000, **json.loads(right)}
        return replaced(answer, SHAPES["completions"].place("logprob"), b"nowhere")

    async with spoiling(SHAPES["completions"], spoil) as peer:
        error = await peer.error()
        assert type(error) is MalformedResponse
        assert re.search(r"nowhere|byte \d{4}", error.message)


OTHER_TYPES: list[Any] = [None, True, -1, 2.5, 10**30, "", "x", [], [None], [[]], {}, {"a": 1}]


def places(value: Any, here: Place = ()) -> Iterator[Place]:
    """The way to each value inside a JSON value, of a list only into the first and the last."""
    yield here
    if isinstance(value, dict):
        items: Iterable[tuple[str | int, Any]] = value.items()
    elif isinstance(value, list) and value:
        items = {0: value[0], len(value) - 1: value[-1]}.items()
    else:
        return
    for name, item in items:
        yield from places(item, (*here, name))


@pytest.mark.parametrize("name", SHAPES)
async def test_every_value_in_every_other_type(name: str) -> None:
    shape = SHAPES[name]
    place: Place = ()
    value: Any = None
    config = attrs.evolve(CONFIG, beam_width=1, max_tokens=3, on_beam_failure="drop_beam")
    example: list[bytes] = []

    def pieces(right: bytes) -> list[bytes]:
        example.append(right)
        return [http_answer(changed(json.loads(right), place, value) if swapping else right)]

    swapping = False
    failed = 0

    def script(request: Request) -> Fault:
        return Fault(pieces) if is_for_tokens(request) else HEALTHY

    async with bad_peer(script, **shape.options, max_n=2) as peer:
        right = await beam_search(peer.endpoint, "p", config)
        swapping = True
        all_places = list(places(json.loads(example[0])))
        for place in all_places:
            for value in OTHER_TYPES:
                try:
                    result = await beam_search(peer.endpoint, "p", config)
                except SearchFailed as error:
                    for failure in error.failures:
                        kinds = (MalformedResponse, LogprobsUnavailable)
                        assert isinstance(failure.error, kinds), (place, value)
                    failed += 1
                else:
                    assert all(known(beam.logprob) <= 0 for beam in result.beams), (place, value)
                at_rest(peer.endpoint)
        swapping = False
        assert found(await beam_search(peer.endpoint, "p", config)) == found(right)
    assert failed > len(all_places) * len(OTHER_TYPES) / 2
