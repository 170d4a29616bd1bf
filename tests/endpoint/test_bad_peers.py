"""Servers that send what no server should: without end, without bounds, without sense.

Whatever comes, a search ends with one of our errors and in bounded memory, and the endpoint serves
the next search as if nothing had been.
"""

from __future__ import annotations

import gzip
import json
import re
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from typing import Any, TypeAlias

import attrs
import pytest
import trio

from tests.servers.fault_server import (
    HEALTHY,
    Fault,
    FaultServer,
    Request,
    answering,
    chunked,
    fault_server,
    saying,
)
from tests.servers.mock_server import at_rest
from tests.servers.socket_server import http_answer
from trio_beam import (
    BeamSearchConfig,
    ConnectionFailed,
    Endpoint,
    EndpointError,
    LogprobsUnavailable,
    MalformedResponse,
    RequestRejected,
    RetryPolicy,
    SearchFailed,
    SearchResult,
    ServerError,
    beam_search,
)
from trio_beam.core.prompt import PromptLike

CONFIG = BeamSearchConfig(
    beam_width=2, n_per_beam=2, tokens_per_step=3, max_tokens=6, seed=1, early_stopping=False
)
POLICY = RetryPolicy(attempts=2, wait_initial=0.001, wait_max=0.002)
MESSAGES: PromptLike = [{"role": "user", "content": "p"}]
MEGABYTE = 2**20

#: Makes bad JSON of a right answer.
Spoil: TypeAlias = Callable[[bytes], bytes]
Place: TypeAlias = tuple[str | int, ...]


# -- searches against a bad peer, and then a good one


class Peer:
    """A server that misbehaves until it is well, and an endpoint on it."""

    def __init__(self, server: FaultServer, endpoint: Endpoint, cure: Callable[[], None]) -> None:
        self.server = server
        self.endpoint = endpoint
        self.cure = cure

    async def search(self, prompt: PromptLike = "p") -> SearchResult | EndpointError:
        """What a search finds, or what its first failure is; at rest in either case."""
        try:
            return await beam_search(self.endpoint, prompt, CONFIG)
        except SearchFailed as error:
            return error.failures[0].error
        finally:
            at_rest(self.endpoint)

    async def error(self, prompt: PromptLike = "p") -> EndpointError:
        """The error in which a search must end."""
        outcome = await self.search(prompt)
        assert isinstance(outcome, EndpointError)
        return outcome

    async def result(self, prompt: PromptLike = "p") -> SearchResult:
        """The result in which a search must end."""
        outcome = await self.search(prompt)
        assert isinstance(outcome, SearchResult)
        return outcome


@asynccontextmanager
async def bad_peer(script: Callable[[Request], Fault], **options: Any) -> AsyncIterator[Peer]:
    """Everything under a deadline, and nothing left behind."""
    settings: dict[str, Any] = {"model": "m", "dialect": "openai", "retry": POLICY}
    well = False

    def cure() -> None:
        nonlocal well
        well = True

    with trio.fail_after(10):
        async with fault_server(lambda request: HEALTHY if well else script(request)) as server:
            async with Endpoint(server.url, **settings | options) as endpoint:
                yield Peer(server, endpoint, cure)
                at_rest(endpoint)
            assert endpoint.statistics().open_connections == 0
            await server.left()


def found(result: SearchResult) -> list[tuple[str, float]]:
    return [(beam.text, beam.score) for beam in result.beams]


async def check_recovery(peer: Peer) -> None:
    """The next search on the same endpoint is right."""
    async with bad_peer(lambda request: HEALTHY) as healthy:
        right = await healthy.result()
    peer.cure()
    assert found(await peer.result()) == found(right)


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """No more than so many bytes are allocated at any time in the block."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= size


# -- heads without end

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


def endless(first: bytes, piece: bytes) -> Fault:
    """A beginning, and then the same again and again."""

    def pieces(right: bytes) -> Iterator[bytes]:
        yield first
        while True:
            yield piece

    return Fault(pieces)


LONG = b"x" * 65536
ENDLESS = {
    "status line": endless(b"HTTP/1.1 200 ", LONG),
    "no line at all": endless(b"", LONG),
    "empty lines": endless(b"", b"\r\n" * 1000),
    "header line": endless(OK + b"x: ", LONG),
    "header name": endless(OK, LONG),
    "headers": endless(OK, b"x: y\r\n" * 1000),
    "folded header": endless(OK + b"x: y\r\n", b" y\r\n" * 1000),
    "1xx answers": endless(b"", b"HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n" * 100),
    "100 Continue": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "chunk header": endless(CHUNKED, b"1" * 65536),
    "chunk extension": endless(CHUNKED + b"5;x=", LONG),
    "trailers": endless(CHUNKED + b"0\r\n", b"x: y\r\n" * 1000),
}


@pytest.mark.parametrize("fault", ENDLESS.values(), ids=ENDLESS)
async def test_a_head_without_end(fault: Fault) -> None:
    """Cut off by its length: the time allowed to an attempt, here 300 s, is not used up for it."""
    async with bad_peer(lambda request: fault) as peer:
        with trio.fail_after(1), at_most(4 * MEGABYTE):
            error = await peer.error()
        assert type(error) is ConnectionFailed
        assert error.attempts == 2
        await check_recovery(peer)


# -- heads without sense


def with_length(value: bytes) -> Fault:
    return Fault(lambda right: [OK + b"content-length: " + value + b"\r\n\r\n" + right], "fin")


NONSENSE = {
    "a length that is no number": with_length(b"many"),
    "a negative length": with_length(b"-1"),
    "a length with a sign": with_length(b"+5"),
    "a length beyond all measure": with_length(b"9" * 5000),
    "a blank before the colon": saying(OK + b"content-length : 5\r\n\r\n", "fin"),
    "two lengths": with_length(b"5\r\ncontent-length: 6"),
    "an unknown transfer coding": saying(OK + b"transfer-encoding: gzip\r\n\r\n", "fin"),
    "a header without a name": saying(OK + b": x\r\n\r\n", "fin"),
    "a header without a colon": saying(OK + b"hello\r\n\r\n", "fin"),
    "a NUL in a header": saying(OK + b"x: a\0b\r\n\r\n", "fin"),
    "a status of two digits": saying(b"HTTP/1.1 20 OK\r\n\r\n", "fin"),
    "a status below 100": saying(b"HTTP/1.1 099 OK\r\n\r\n", "fin"),
    "another protocol": saying(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\n\r\n", "fin"),
    "HTTP/2": saying(b"\0\0\x12\4\0\0\0\0\0\0\3\0\0\0d\0\4\0\x10\0\0\0\6\0\0@\0", "fin"),
    "TLS": saying(b"\x15\x03\x01\x00\x02\x02\x16", "fin"),
}


@pytest.mark.parametrize("fault", NONSENSE.values(), ids=NONSENSE)
async def test_a_head_without_sense(fault: Fault) -> None:
    """It says what is wrong with it, not that nothing had come."""
    async with bad_peer(lambda request: fault) as peer:
        error = await peer.error()
        assert type(error) is ConnectionFailed
        assert error.attempts == 2
        assert "without an answer" not in error.message
        await check_recovery(peer)


ODD_HEADERS = {
    "bytes that are no text": b"x-\xffodd: \x80\xff\r\n",
    "a value that is no text": b"x-odd: \x80\xff\xc3\x28\r\n",
    "no text in the content type": b"content-type: \xff; charset=\xff\r\n",
    "an unknown charset": b"content-type: application/json; charset=klingon\r\n",
    "an unknown encoding": b"content-encoding: klingon\r\n",
    "no text in the encoding": b"content-encoding: \xff\xfe\r\n",
    "a wait that is none": b"retry-after: \xff\r\nretry-after: nan\r\n",
    "bare line feeds": b"x: y\nz: w\n",
    "a thousand of them": b"x: y\r\n" * 1000,
}


@pytest.mark.parametrize("headers", ODD_HEADERS.values(), ids=ODD_HEADERS)
async def test_headers_that_do_not_matter(headers: bytes) -> None:
    def pieces(right: bytes) -> list[bytes]:
        return [OK + headers + b"content-length: %d\r\n\r\n" % len(right) + right]

    # A header name that is not ASCII is not HTTP.
    refused = headers.startswith(b"x-\xff")
    async with bad_peer(lambda request: Fault(pieces)) as peer:
        outcome = await peer.search()
        assert type(outcome) is (ConnectionFailed if refused else SearchResult)
        await check_recovery(peer)


# -- bodies without bounds

LIMIT = MEGABYTE


def told(length: int) -> bytes:
    return OK + b"content-length: %d\r\n\r\n" % length


TOO_LONG = {
    "2 GiB, sent": endless(told(2**31), LONG),
    "a length of 18 digits, sent": endless(told(10**18 - 1), LONG),
    "chunks without end": endless(CHUNKED, chunked(LONG)),
    "no length and no end": endless(OK + b"\r\n", LONG),
    "2 GiB as one chunk": endless(CHUNKED + b"80000000\r\n", LONG),
    "one byte too many": saying(told(LIMIT + 1) + b" " * (LIMIT + 1)),
}


@pytest.mark.parametrize("fault", TOO_LONG.values(), ids=TOO_LONG)
async def test_a_body_longer_than_the_limit(fault: Fault) -> None:
    async with bad_peer(lambda request: fault, max_answer_bytes=LIMIT) as peer:
        with at_most(4 * LIMIT):
            error = await peer.error()
        assert type(error) is MalformedResponse
        assert f"longer than {LIMIT} bytes" in error.message
        assert error.attempts == len(peer.server.requests) == 1
        await check_recovery(peer)


async def test_a_length_beyond_the_limit_is_not_waited_for() -> None:
    """With the default limit; nothing follows the head."""
    fault = saying(told(2**31), "hang")
    async with bad_peer(lambda request: fault, attempt_timeout=0.3) as peer:
        with at_most(MEGABYTE):
            error = await peer.error()
        assert type(error) is MalformedResponse
        assert f"longer than {256 * MEGABYTE} bytes" in error.message
        await check_recovery(peer)


async def test_a_length_within_the_limit_is_not_allocated_before_it_comes() -> None:
    fault = Fault(lambda right: [told(200 * MEGABYTE) + right], "fin")
    async with bad_peer(lambda request: fault) as peer:
        with at_most(MEGABYTE):
            error = await peer.error()
        assert type(error) is ConnectionFailed
        await check_recovery(peer)


async def test_a_body_that_is_just_as_long_as_the_limit() -> None:
    def pieces(right: bytes) -> list[bytes]:
        return [http_answer(right.ljust(LIMIT))]

    async with bad_peer(lambda request: Fault(pieces), max_answer_bytes=LIMIT) as peer:
        await peer.result()
        await check_recovery(peer)


async def test_a_body_in_tiny_chunks_costs_what_it_is_long() -> None:
    limit = 60_000
    fault = endless(CHUNKED, chunked(b"xy") * 2000)
    async with bad_peer(lambda request: fault, max_answer_bytes=limit) as peer:
        with at_most(10 * limit):
            error = await peer.error()
        assert f"longer than {limit} bytes" in error.message
        await check_recovery(peer)


@cache
def bomb(encoding: str) -> bytes:
    """64 MiB of blanks, packed."""
    packers = {
        "gzip": lambda: zlib.compressobj(9, zlib.DEFLATED, 31),
        "deflate": lambda: zlib.compressobj(9),
    }
    packer = packers[encoding.partition(",")[0]]()
    packed = b"".join([packer.compress(b" " * MEGABYTE) for _ in range(64)]) + packer.flush()
    return gzip.compress(packed) if "," in encoding else packed


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request"])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, gzip"])
async def test_a_short_body_that_unpacks_to_a_long_one(encoding: str, status: str) -> None:
    headers = f"content-encoding: {encoding}\r\n"
    fault = answering(bomb(encoding), status=status, headers=headers)
    async with bad_peer(lambda request: fault, max_answer_bytes=LIMIT) as peer:
        with at_most(8 * LIMIT):
            error = await peer.error()
        if status == "200 OK":
            assert type(error) is MalformedResponse
            words = "compressed 2 times" if "," in encoding else f"longer than {LIMIT} bytes"
            assert words in error.message
        else:
            assert isinstance(error, (MalformedResponse, RequestRejected))
        await check_recovery(peer)


BAD_PACKING: dict[str, Spoil] = {
    "cut": lambda right: gzip.compress(right)[:-20],
    "a checksum that is wrong": lambda right: gzip.compress(right)[:-8] + b"checksum",
    "not packed": lambda right: right,
    "nothing": lambda right: b"",
}


@pytest.mark.parametrize("spoil", BAD_PACKING.values(), ids=BAD_PACKING)
async def test_a_packed_body_that_is_broken(spoil: Spoil) -> None:
    def pieces(right: bytes) -> list[bytes]:
        return [http_answer(spoil(right), headers="content-encoding: gzip\r\n")]

    async with bad_peer(lambda request: Fault(pieces)) as peer:
        error = await peer.error()
        assert type(error) is MalformedResponse
        assert error.attempts == 2  # a broken body may be whole another time
        await check_recovery(peer)


# -- words without end

LONG_WORDS = {
    "a redirect": answering(
        b"", status="307 Moved", headers="location: /" + "x" * 100_000 + "\r\n"
    ),
    "a reason": saying(b"HTTP/1.1 400 " + b"x" * 100_000 + b"\r\ncontent-length: 0\r\n\r\n"),
    "a refusal": answering({"error": {"message": "x" * MEGABYTE}}, status="400 Bad Request"),
    "a code": answering(
        {"error": {"message": "no", "code": "x" * MEGABYTE}}, status="400 Bad Request"
    ),
    "a page": answering(b"x" * MEGABYTE, status="500 Oops"),
    "not JSON": answering(b"x" * MEGABYTE),
    "another shape": answering({"x" * MEGABYTE: 1}),
}


@pytest.mark.parametrize("fault", LONG_WORDS.values(), ids=LONG_WORDS)
async def test_the_servers_words_are_cut(fault: Fault) -> None:
    async with bad_peer(lambda request: fault) as peer:
        assert len(str(await peer.error())) < 2000
        await check_recovery(peer)


# -- JSON that no server should send


@attrs.frozen
class Shape:
    """One of the three shapes of an answer, and where things are in it.

    Attributes:
        options: for an endpoint that asks for it.
        choices: the way to the list of choices.
        logprobs: from a choice to its log-probabilities.
        logprob: from there to the first.
        text: from a choice to a text.
        count: the way to the number of prompt tokens.
    """

    options: dict[str, Any]
    choices: Place
    logprobs: Place
    logprob: Place
    text: Place
    count: Place

    def place(self, word: str) -> Place:
        """The way to something of the first choice, or to the choices or the count."""
        first = (*self.choices, 0)
        return {
            "choices": self.choices,
            "choice": first,
            "index": (*first, "index"),
            "logprobs": first + self.logprobs,
            "logprob": first + self.logprobs + self.logprob,
            "text": first + self.text,
            "count": self.count,
        }[word]


SHAPES = {
    "completions": Shape(
        {"dialect": "openai"},
        ("choices",),
        ("logprobs",),
        ("token_logprobs", 0),
        ("text",),
        ("usage", "prompt_tokens"),
    ),
    "chat": Shape(
        {"dialect": "openai", "api": "chat"},
        ("choices",),
        ("logprobs",),
        ("content", 0, "logprob"),
        ("message", "content"),
        ("usage", "prompt_tokens"),
    ),
    "native": Shape(
        {"dialect": "llama_cpp"},
        (),
        ("completion_probabilities",),
        (0, "logprob"),
        ("completion_probabilities", 0, "token"),
        (0, "tokens_evaluated"),
    ),
}


def replaced(answer: Any, place: Place, raw: bytes) -> bytes:
    """The answer's JSON with a value replaced by these bytes, whether they are JSON or not."""
    return json.dumps(changed(answer, place, "@@")).encode().replace(b'"@@"', raw, 1)


def changed(answer: Any, place: Place, value: Any) -> Any:
    """A copy with a value replaced."""
    if not place:
        return value
    copy = answer.copy()
    copy[place[0]] = changed(answer[place[0]], place[1:], value)
    return copy


def inner(answer: Any, place: Place) -> Any:
    for name in place:
        answer = answer[name]
    return answer


def is_for_tokens(request: Request) -> bool:
    """Not to find something out."""
    return "completion" in request.path and "logit_bias" not in request.body


@asynccontextmanager
async def spoiling(shape: Shape, spoil: Spoil, **options: Any) -> AsyncIterator[Peer]:
    """A server whose every answer to a request for tokens is spoilt, and right afterwards."""
    fault = Fault(lambda right: [http_answer(spoil(right))])

    def script(request: Request) -> Fault:
        return fault if is_for_tokens(request) else HEALTHY

    async with (
        bad_peer(lambda request: HEALTHY, **shape.options) as healthy,
        bad_peer(script, **shape.options | options) as peer,
    ):
        right = await healthy.result()
        yield peer
        peer.cure()
        assert found(await peer.result()) == found(right)


@attrs.frozen
class Bad:
    """A value that stands where another should.

    Attributes:
        where: as `Shape.place` says.
        raw: its bytes.
        words: what the message must say, as a pattern.
        kinds: the class of the error; a dict if it is not the same for each shape; None if the
            value must be put up with.
        transient: whether it looks like a broken body, which is asked for again.
    """

    where: str
    raw: bytes
    words: str = ""
    kinds: type[EndpointError] | dict[str, type[EndpointError] | None] | None = MalformedResponse
    transient: bool = False

    def kind(self, name: str) -> type[EndpointError] | None:
        return self.kinds[name] if isinstance(self.kinds, dict) else self.kinds


NOT_JSON = "not JSON"
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
DEEP = b"[" * 100_000

BAD = {
    "a logprob of NaN": Bad("logprob", b"NaN", NOT_JSON, transient=True),
    "a logprob of Infinity": Bad("logprob", b"Infinity", NOT_JSON, transient=True),
    "a logprob of -Infinity": Bad("logprob", b"-Infinity", NOT_JSON, transient=True),
    "a logprob of 1e400": Bad("logprob", b"1e400", "out of range"),
    "a logprob of -1e400": Bad("logprob", b"-1e400", "out of range"),
    "a logprob of 5000 digits": Bad("logprob", b"-" + b"9" * 5000, "out of range"),
    "a positive logprob": Bad("logprob", b"0.5", "log-probability of 0.5 is above 0"),
    "a huge positive logprob": Bad("logprob", b"1" * 300, "is above 0"),
    "a huge negative logprob": Bad("logprob", b"-1e308", kinds=None),
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
    "an escaped NUL": Bad("text", rb'"a\u0000b"', kinds=None),
    "control characters": Bad("text", rb'"\u001b[2J\u0007\u2028\ufeff"', kinds=None),
    "a text of null": Bad("text", b"null", kinds=OPTIONAL),
    "a text that is a number": Bad("text", b"5", "got `int`"),
    "an index below 0": Bad("index", b"-1", kinds=None),
    "a huge index": Bad("index", b"9" * 400, kinds=None),
    "an index of 5000 digits": Bad("index", b"9" * 5000, "out of range"),
    "an index of 1e400": Bad("index", b"1e400", "out of range"),
    "an index of null": Bad("index", b"null", "got `null`"),
    "an index as a string": Bad("index", b'"0"', "got `str`"),
    "no choices": Bad("choices", b"[]", "no choices|no continuation"),
    "choices of null": Bad("choices", b"null", "got `null`"),
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
    "a count as a string": Bad("count", b'"7"', "got `str`"),
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
            attempts = 2 if bad.transient else 1
            assert outcome.attempts == len(peer.server.requests) == attempts
            assert re.search(bad.words, outcome.message)
            assert outcome.url.startswith(peer.server.url.removesuffix("/v1"))
        else:
            assert outcome.stop_reason == "max_tokens"
            assert [beam.length for beam in outcome.beams] == [6, 6]


async def test_what_is_not_json_is_said_where_the_beginning_does_not_show_it() -> None:
    def spoil(right: bytes) -> bytes:
        answer = {"padding": "x" * 1000, **json.loads(right)}
        return replaced(answer, SHAPES["completions"].place("logprob"), b"NaN")

    async with spoiling(SHAPES["completions"], spoil) as peer:
        error = await peer.error()
        assert type(error) is MalformedResponse
        assert re.search(r"NaN|byte \d{4}", error.message)


# -- other numbers of things than were asked for


def choices_changed(change: Callable[[list[Any]], list[Any]]) -> Callable[[Shape], Spoil]:
    """Another list of choices."""

    def of(shape: Shape) -> Spoil:
        def spoil(right: bytes) -> bytes:
            answer = json.loads(right)
            if isinstance(answer, dict) and not shape.choices:
                answer = [answer]
            choices = change(inner(answer, shape.choices))
            return json.dumps(changed(answer, shape.choices, choices)).encode()

        return spoil

    return of


PUT_UP_WITH = {
    "fewer than asked for": choices_changed(lambda choices: choices[: (len(choices) + 1) // 2]),
    "a single one": choices_changed(lambda choices: choices[:1]),
    "more than asked for": choices_changed(
        lambda choices: [*choices, *({**choice, "index": 99} for choice in choices)]
    ),
    "all with the same index": choices_changed(
        lambda choices: [{**choice, "index": 0} for choice in choices]
    ),
    "none with an index": choices_changed(
        lambda choices: [
            {key: value for key, value in choice.items() if key != "index"} for choice in choices
        ]
    ),
    "in another order": choices_changed(lambda choices: choices[::-1]),
    "with indices from 7 on": choices_changed(
        lambda choices: [{**choice, "index": choice["index"] + 7} for choice in choices]
    ),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("change", PUT_UP_WITH.values(), ids=PUT_UP_WITH)
async def test_choices_that_are_put_up_with(change: Callable[[Shape], Spoil], name: str) -> None:
    """They are the right ones, so what is found is right."""
    shape = SHAPES[name]
    async with spoiling(shape, change(shape)) as peer:
        result = await peer.result()
        peer.cure()
        assert found(result) == found(await peer.result())
        assert result.usage.retries == 0


LEGACY_LENGTHS = {
    "a logprob too few": ("token_logprobs", lambda row: row[:-1], "3 tokens with 2 log"),
    "a logprob too many": ("token_logprobs", lambda row: [*row, -1.0], "3 tokens with 4 log"),
    "a token too few": ("tokens", lambda row: row[:-1], "2 tokens with 3 log"),
    "no tokens": ("tokens", lambda row: None, "0 tokens with 3 log"),
}


@pytest.mark.parametrize(("field", "change", "words"), LEGACY_LENGTHS.values(), ids=LEGACY_LENGTHS)
async def test_legacy_arrays_of_unequal_lengths(
    field: str, change: Callable[[list[Any]], Any], words: str
) -> None:
    place: Place = ("choices", 1, "logprobs", field)

    def spoil(right: bytes) -> bytes:
        answer = json.loads(right)
        return json.dumps(changed(answer, place, change(inner(answer, place)))).encode()

    async with spoiling(SHAPES["completions"], spoil) as peer:
        error = await peer.error()
        assert type(error) is MalformedResponse
        assert words in error.message


NATIVE_LENGTHS: dict[str, tuple[str, Callable[[list[Any]], Any], type[EndpointError]]] = {
    "an entry too few": ("completion_probabilities", lambda row: row[1:], LogprobsUnavailable),
    "no entries": ("completion_probabilities", lambda row: [], LogprobsUnavailable),
    "an entry too many": (
        "completion_probabilities",
        lambda row: [*row, row[0]],
        MalformedResponse,
    ),
    "entries in another order": (
        "completion_probabilities",
        lambda row: [{**entry, "id": 90 - at} for at, entry in enumerate(row)],
        MalformedResponse,
    ),
    "a token too few": ("tokens", lambda row: row[:-1], MalformedResponse),
    "a negative token": ("tokens", lambda row: [-1, *row[1:]], MalformedResponse),
    "a huge token": ("tokens", lambda row: [10**400, *row[1:]], MalformedResponse),
}


@pytest.mark.parametrize(("field", "change", "kind"), NATIVE_LENGTHS.values(), ids=NATIVE_LENGTHS)
async def test_native_entries_that_are_not_those_of_the_tokens(
    field: str, change: Callable[[list[Any]], Any], kind: type[EndpointError]
) -> None:
    def spoil(right: bytes) -> bytes:
        answer = json.loads(right)
        return json.dumps(changed(answer, (0, field), change(inner(answer, (0, field))))).encode()

    async with spoiling(SHAPES["native"], spoil) as peer:
        assert type(await peer.error()) is kind


@pytest.mark.parametrize("name", SHAPES)
async def test_many_more_tokens_than_asked_for(name: str) -> None:
    """Ten thousand, where three were asked for."""
    shape = SHAPES[name]

    def spoil(right: bytes) -> bytes:
        answer = json.loads(right)
        for choice in inner(answer, shape.choices):
            rows = choice.get("logprobs", choice)
            for key in ("tokens", "token_logprobs", "content", "completion_probabilities"):
                if key in rows:
                    rows[key] = rows[key][:1] * 10_000
        return json.dumps(answer).encode()

    async with spoiling(shape, cache(spoil)) as peer:
        error = await peer.error()
        assert type(error) is MalformedResponse
        assert "10000 tokens, where at most 3 were asked for" in error.message
        assert len(peer.server.requests) == 1


async def test_a_long_block_with_gaps_is_not_repaired() -> None:
    """Each gap costs requests; none is sent for a block that is too long to be used."""

    def script(request: Request) -> Fault:
        entry = {"id": 1, "token": " beta", "bytes": list(b" beta"), "logprob": -1.0}
        silent = {"id": 0, "token": "a", "bytes": [97], "logprob": -1.0}
        whole = {"tokens": [0, 1] * 300, "completion_probabilities": [entry] * 300}
        repaired = {
            "tokens": [1],
            "completion_probabilities": [entry | {"top_logprobs": [silent, entry]}],
        }
        return answering(repaired if "logit_bias" in request.body else whole)

    async with bad_peer(script, dialect="llama_cpp") as peer:
        error = await peer.error()
        assert type(error) is MalformedResponse
        assert "600 tokens, where at most 3 were asked for" in error.message
        assert len(peer.server.requests) < 10


# -- counts that cannot be


@pytest.mark.parametrize("name", SHAPES)
async def test_a_negative_count_of_prompt_tokens(name: str) -> None:
    shape = SHAPES[name]

    def spoil(right: bytes) -> bytes:
        answer = json.loads(right)
        if isinstance(answer, dict) and not shape.choices:
            answer = [answer]
        return replaced(answer, shape.count, b"-1000000")

    async with spoiling(shape, spoil) as peer:
        outcome = await peer.search()
        if isinstance(outcome, SearchResult):
            assert outcome.usage.prompt_tokens >= 0
        else:
            assert type(outcome) is MalformedResponse


@pytest.mark.parametrize("count", ["-1000", "9" * 400])
@pytest.mark.parametrize("name", ["completions", "chat"])
async def test_a_count_of_generated_tokens_that_cannot_be(name: str, count: str) -> None:
    """One choice a request: then the server's count is looked at."""

    def spoil(right: bytes) -> bytes:
        return replaced(json.loads(right), ("usage", "completion_tokens"), count.encode())

    async with spoiling(SHAPES[name], spoil, max_n=1) as peer:
        outcome = await peer.search()
        if isinstance(outcome, SearchResult):
            assert outcome.stop_reason == "max_tokens"
            assert 0 <= outcome.usage.completion_tokens <= 3 * outcome.usage.requests
        else:
            assert type(outcome) is MalformedResponse


# -- every value of every answer in every other type

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
                    kinds = {type(failure.error) for failure in error.failures}
                    assert kinds <= {MalformedResponse, LogprobsUnavailable}, (place, value)
                    failed += 1
                else:
                    assert all(beam.logprob <= 0 for beam in result.beams), (place, value)
                at_rest(peer.endpoint)
        swapping = False
        assert found(await beam_search(peer.endpoint, "p", config)) == found(right)
    assert failed > len(all_places) * len(OTHER_TYPES) / 2


# -- refusals without end or sense


@pytest.mark.parametrize(
    "words",
    [
        "'n' must be at most 3",
        "n must be 0",
        "'n' must be " + "9" * 5000,
        "logprobs must be at most 0, 'n' at most -1",
    ],
)
async def test_a_limit_that_is_refused_as_well(words: str) -> None:
    """What is learnt from a refusal is tried, but not for ever."""
    fault = answering({"error": {"message": words}}, status="400 Bad Request")
    async with bad_peer(lambda request: fault) as peer:
        error = await peer.error()
        assert type(error) is RequestRejected
        assert len(peer.server.requests) <= 4
        await check_recovery(peer)


NESTED = {
    "the body": b"%s",
    "the error": b'{"error":%s}',
    "the message": b'{"error":{"message":%s}}',
    "the code": b'{"error":{"message":"no","code":%s}}',
}


@pytest.mark.parametrize("template", NESTED.values(), ids=NESTED)
async def test_a_refusal_nested_as_deeply_as_can_be_read(template: bytes) -> None:
    """What can just be decoded must not break what is done with it."""
    depth = 0

    def pieces(right: bytes) -> list[bytes]:
        body = template % (b'{"a":' * depth + b"1" + b"}" * depth)
        return [http_answer(body, status="400 Bad Request")]

    async with bad_peer(lambda request: Fault(pieces)) as peer:
        for depth in (*range(800, 1000), 100_000):
            assert type(await peer.error()) is RequestRejected, depth
        await check_recovery(peer)


# -- what is asked before a search


BAD_MODELS: dict[str, tuple[Fault, type[EndpointError], str]] = {
    "not JSON": (answering(b"hello"), MalformedResponse, NOT_JSON),
    "a page": (
        answering(b"<html>", headers="content-type: text/html\r\n"),
        MalformedResponse,
        NOT_JSON,
    ),
    "another shape": (answering({}), MalformedResponse, "data"),
    "no list": (answering({"data": None}), MalformedResponse, "got `null`"),
    "names that are none": (answering({"data": [{"id": 5}]}), MalformedResponse, "got `int`"),
    "nested too deeply": (answering(b'{"data":' + DEEP), MalformedResponse, "array|deeply"),
    "no models": (answering({"data": []}), RequestRejected, "lists 0"),
    "many long names": (
        answering({"data": [{"id": "x" * 50_000}] * 50}),
        RequestRejected,
        "lists 50",
    ),
    "without end": (endless(CHUNKED, chunked(LONG)), MalformedResponse, "longer than"),
    "refused": (answering({"error": "no"}, status="401 No"), RequestRejected, "HTTP 401: no"),
    "broken": (answering({"error": "no"}, status="500 No"), ServerError, "HTTP 500: no"),
}


@pytest.mark.parametrize(("fault", "kind", "words"), BAD_MODELS.values(), ids=BAD_MODELS)
async def test_a_bad_list_of_models(fault: Fault, kind: type[EndpointError], words: str) -> None:
    options = {"model": None, "dialect": "auto", "max_answer_bytes": 4 * MEGABYTE}
    async with bad_peer(lambda request: fault, **options) as peer:
        error = await peer.error()
        assert type(error) is kind
        assert error.url.endswith("/v1/models")
        assert re.search(words, error.message)
        assert len(error.message) < 2000
        await check_recovery(peer)


SLOTS = {
    "0": b"0",
    "-1": b"-1",
    "-5": b"-5",
    "huge": b"9" * 400,
    "5000 digits": b"9" * 5000,
    "1e400": b"1e400",
    "a string": b'"4"',
    "null": b"null",
    "true": b"true",
    "nested": DEEP,
}


@pytest.mark.parametrize("slots", SLOTS.values(), ids=SLOTS)
async def test_a_number_of_slots_that_cannot_be(slots: bytes) -> None:
    """It is only of use if it makes sense; a search can do without."""

    def script(request: Request) -> Fault:
        if request.path == "/v1/models":
            return answering({"data": [{"id": "m", "owned_by": "llamacpp"}]})
        if request.path == "/props":
            return answering(b'{"total_slots":' + slots + b"}")
        return HEALTHY

    async with bad_peer(lambda request: HEALTHY, dialect="llama_cpp") as healthy:
        right = await healthy.result()
    async with bad_peer(script, dialect="auto") as peer:
        with trio.fail_after(1):
            assert found(await peer.result()) == found(right)


BAD_TEMPLATES = {
    "no prompt": ("/apply-template", b"{}"),
    "a prompt of null": ("/apply-template", b'{"prompt":null}'),
    "not JSON": ("/apply-template", b"hello"),
    "a lone surrogate": ("/apply-template", rb'{"prompt":"\ud800 "}'),
    "nested too deeply": ("/apply-template", b'{"prompt":' + DEEP),
    "no tokens": ("/tokenize", b'{"tokens":[]}'),
    "tokens of null": ("/tokenize", b'{"tokens":null}'),
    "tokens that are fractions": ("/tokenize", b'{"tokens":[1.5]}'),
    "tokens with their pieces": ("/tokenize", b'{"tokens":[{"id":1,"piece":"a"}]}'),
    "tokens of 5000 digits": ("/tokenize", b'{"tokens":[%s]}' % (b"9" * 5000)),
    "tokens nested too deeply": ("/tokenize", b'{"tokens":' + DEEP),
}


@pytest.mark.parametrize(("path", "body"), BAD_TEMPLATES.values(), ids=BAD_TEMPLATES)
async def test_a_chat_template_that_goes_wrong(path: str, body: bytes) -> None:
    def script(request: Request) -> Fault:
        return answering(body) if request.path == path else HEALTHY

    async with bad_peer(script, dialect="llama_cpp") as peer:
        error = await peer.error(MESSAGES)
        assert type(error) is MalformedResponse
        assert error.url
        peer.cure()
        assert (await peer.result(MESSAGES)).rounds == 2
