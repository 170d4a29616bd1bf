"""A text is given up while it streams: recorded streams of real servers, cut where its confidence falls."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import httpx
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from tests.core.builders import pieces_of
from tests.dialects.replay import Capture, ask, capture, only, prepared
from tests.dialects.streams import STREAMS, choices_of, native_events, stream_of
from tests.servers.socket_server import RawServer, http_answer, raw_server, read_request
from trio_beam import Confidence, Continuation, Endpoint, RetryPolicy, search
from trio_beam.core.block import LOW_CONFIDENCE
from trio_beam.core.confidence import ConfidenceLimit, of_token
from trio_beam.dialects.common.dialect import Dialect
from trio_beam.dialects.common.exchange import Exchange, ExchangeResult
from trio_beam.dialects.common.watch import Abandoned
from trio_beam.strategies import self_consistency


def single(case: str) -> Capture:
    """The first choice of a recorded stream, as the stream of a request for one."""
    recorded = capture(case)
    events = choices_of(case)
    rest = events[-1] if not events[-1][0]["choices"] else []
    asked = {**recorded.asked, "n": 1}
    return attrs.evolve(recorded, asked=asked, body=stream_of([*events[0], *rest]))


def native(case: str) -> Capture:
    """The first choice of one of llama.cpp's own answers, as its stream."""
    recorded = capture(case)
    asked = {**recorded.asked, "n_cmpl": 1, "stream": True}
    body = stream_of(native_events(recorded.answer()[0]), done=False)
    return attrs.evolve(recorded, asked=asked, body=body)


CASES = {case: single(case) for case in STREAMS}
CASES["llama.cpp's own"] = native("xllamacpp__native_n_cmpl2_fields")


def kinds(case: str) -> list[Callable[[], Dialect]]:
    """Factories of the dialects that ask for nothing but this response."""
    recorded = CASES[case]
    return [recorded.dialect] if "utf8" in case else recorded.kinds()


def watched(exchange: Exchange[ExchangeResult], body: bytes, cuts: Sequence[int]) -> ExchangeResult:
    """Let the stream arrive in pieces until it is given up."""
    request = next(exchange)
    assert request.watch is not None
    watch = request.watch()
    is_low = any(watch.feed(bytes(piece)) for piece in pieces_of(body, cuts))
    found = request.decode(watch.body() if is_low else body)
    with pytest.raises(StopIteration) as ended:
        exchange.send(Abandoned(found) if is_low else found)
    result: ExchangeResult = ended.value.value
    return result


def sample(dialect: Dialect, recorded: Capture, limit: ConfidenceLimit) -> Exchange[ExchangeResult]:
    return dialect.sample(prepared(dialect, recorded.prompt()), recorded.request(confidence=limit))


def whole_text(dialect: Dialect, recorded: Capture) -> Continuation:
    return only(ask(recorded, dialect=dialect).value)


@pytest.mark.parametrize("case", CASES)
@given(cuts=st.lists(st.integers(1, 20_000), max_size=12), which=st.integers(0, 1000))
def test_the_text_ends_where_its_confidence_falls(case: str, cuts: list[int], which: int) -> None:
    """However the stream is cut into packets."""
    recorded = CASES[case]
    for make in kinds(case):
        tokens = whole_text(make(), recorded).tokens
        place = which % len(tokens)
        limit = ConfidenceLimit(window=1, top=0, threshold=tokens[place].logprob + 1e-6)
        end = limit.end(tokens)
        assert end is not None
        dialect = make()
        dialect.stream = False  # nobody asked for streams but the limit
        result = watched(sample(dialect, recorded, limit), recorded.body, cuts)
        [block] = result.continuations
        assert result.abandoned
        assert block.finish_reason == LOW_CONFIDENCE
        # An event may hold several tokens.
        assert block.tokens[:end] == tokens[:end]
        assert len(block) - end < 3


@pytest.mark.parametrize("case", CASES)
def test_a_text_that_stays_confident_arrives_whole(case: str) -> None:
    recorded = CASES[case]
    for make in kinds(case):
        limit = ConfidenceLimit(window=1, top=0, threshold=-1000.0)
        result = watched(sample(make(), recorded, limit), recorded.body, [100, 1000])
        expected = whole_text(make(), recorded)
        [block] = result.continuations
        assert not result.abandoned
        assert (block.tokens, block.data, block.finish_reason) == (
            expected.tokens,
            expected.data,
            expected.finish_reason,
        )


@pytest.mark.parametrize("case", CASES)
def test_confidence_by_alternatives_is_that_of_the_tokens(case: str) -> None:
    """What is seen of the stream and what the search computes are the same."""
    recorded = CASES[case]
    top = recorded.request().top_logprobs
    for make in kinds(case) if top else ():
        tokens = whole_text(make(), recorded).tokens
        values = [value for token in tokens if (value := of_token(token, top)) is not None]
        limit = ConfidenceLimit(window=1, top=top, threshold=min(values) + 1e-6)
        result = watched(sample(make(), recorded, limit), recorded.body, [])
        assert result.abandoned
        assert limit.end(result.continuations[0].tokens) is not None


# -- over real sockets


def event(text: str, logprob: float) -> bytes:
    """A token as OpenAI's completions stream it."""
    logprobs = {"tokens": [text], "token_logprobs": [logprob], "top_logprobs": [{text: logprob}]}
    choice = {"index": 0, "text": text, "logprobs": logprobs, "finish_reason": None}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def first_texts() -> dict[str, Any]:
    """A short text of two tokens, which are sure."""
    logprobs = {"tokens": ["a", "b"], "token_logprobs": [-1, -1], "top_logprobs": None}
    choice = {"index": 0, "text": "ab", "logprobs": logprobs, "finish_reason": "stop"}
    return {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n%s\r\n"
CONFIG = self_consistency(
    4, max_tokens=5000, confidence=Confidence(warm_up=2, keep=0.5, window=2, top=0)
)


class Server:
    """Streams two short texts, then texts that turn improbable and would never end."""

    def __init__(self, coding: str = "", broken: int = 0) -> None:
        self.coding = coding
        self.broken = broken  # of the endless ones, how many first break off
        self.asked: list[dict[str, Any]] = []
        self.disconnected = 0

    async def __call__(self, stream: trio.SocketStream, _: int) -> None:
        while True:
            self.asked.append(await read_request(stream))
            if not self.asked[-1].get("stream"):
                await stream.send_all(http_answer(first_texts()))
                continue
            header = f"Content-Encoding: {self.coding}\r\n".encode() if self.coding else b""
            await stream.send_all(HEAD % header)
            if self.broken:
                self.broken -= 1
                await self._send(stream, event("a", -1) + event("b", -1))
                await stream.aclose()
                return
            await self._endless(stream)

    async def _endless(self, stream: trio.SocketStream) -> None:
        await self._send(
            stream, b": ping\n\n" + event("a", -1) + event("b", -9) + event("c", -9)[:7]
        )
        try:
            while await stream.receive_some(1):
                raise AssertionError("another request behind one that was given up")
        except trio.BrokenResourceError:
            pass
        self.disconnected += 1
        raise trio.BrokenResourceError

    async def _send(self, stream: trio.SocketStream, data: bytes) -> None:
        if self.coding:
            data = gzip.compress(data)
        await stream.send_all(b"%x\r\n%s\r\n" % (len(data), data))


async def run(server: Server, retries: int = 0, **options: Any) -> None:
    """Search; the server sees that its endless streams are not wanted."""
    with trio.fail_after(20):
        async with raw_server(server) as raw, endpoint_of(raw, **options) as endpoint:
            result = await search(endpoint, "p", CONFIG)
            assert endpoint.statistics().in_flight == 0
            while server.disconnected < 2:  # noqa: ASYNC110  # a server's own time
                await trio.sleep(0.01)
    assert [beam.finish_reason for beam in result.beams if not beam.confident] == [
        LOW_CONFIDENCE,
    ]
    assert result.votes == (("ab", 1.0),)
    assert result.beams[-1].multiplicity == 2  # both were given up behind the same token
    assert (result.usage.cancelled, result.usage.retries) == (2, retries)
    assert result.usage.completion_tokens == 2 + 2 + 2 + 2
    assert result.usage.prompt_tokens == 4 * 3


def endpoint_of(raw: RawServer, **options: Any) -> Endpoint:
    retry = RetryPolicy(wait_initial=0, wait_max=0)
    return Endpoint(raw.url, model="m", dialect="openai", retry=retry, **options)


async def test_the_server_sees_the_disconnect() -> None:
    server = Server()
    await run(server)
    assert all(asked["stream"] for asked in server.asked[2:])
    assert not any(asked.get("stream") for asked in server.asked[:2])


async def test_with_a_client_of_the_callers() -> None:
    async with httpx.AsyncClient(timeout=10) as client:
        await run(Server(), http_client=client)


async def test_a_compressed_stream() -> None:
    await run(Server(coding="gzip"))


async def test_another_attempt_is_watched_anew() -> None:
    await run(Server(broken=2), retries=2)


async def test_a_server_that_cannot_stream_is_cut_afterwards() -> None:
    """The same texts, if not the same tokens."""

    async def handler(stream: trio.SocketStream, _: int) -> None:
        while True:
            asked = await read_request(stream)
            body = first_texts()
            if asked.get("stream"):
                logprobs = {"tokens": ["a", "b", "c"], "token_logprobs": [-1, -9, -9]}
                body["choices"][0] |= {"text": "abc", "logprobs": logprobs}
                body["usage"]["completion_tokens"] = 3
            await stream.send_all(http_answer(body))

    with trio.fail_after(20):
        async with raw_server(handler) as raw, endpoint_of(raw) as endpoint:
            result = await search(endpoint, "p", CONFIG)
    assert [beam.text for beam in result.beams] == ["ab", "ab"]
    assert [beam.finish_reason for beam in result.beams] == ["stop", LOW_CONFIDENCE]
    assert result.votes == (("ab", 1.0),)
    assert result.usage.cancelled == 0
    assert result.usage.completion_tokens == 2 + 2 + 3 + 3
