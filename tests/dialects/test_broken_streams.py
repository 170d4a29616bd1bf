"""Streams with a fault in them, made of recorded ones, which have none."""

from __future__ import annotations

import msgspec
import pytest

from tests.dialects.replay import ask, capture
from tests.dialects.streams import (
    DONE,
    STREAMS,
    as_stream,
    native_events,
    shown,
    stream_of,
)
from trio_beam.errors import (
    ContextOverflow,
    EndpointError,
    MalformedResponse,
    RateLimited,
    RequestRejected,
    ServerError,
)

NATIVE = capture("xllamacpp__native_n_cmpl2_fields")
ERRORS = [
    (b'data: {"error":{"code":500,"message":"words","type":"server_error"}}', ServerError),
    (b'data: {"error":{"code":400,"message":"words"}}', RequestRejected),
    (b'data: {"error":{"code":429,"message":"words"}}', RateLimited),
    (b'data: {"error":{"message":"words"}}', ServerError),
    (b'data: {"error":{"message":"words","code":"exceeded"}}', ServerError),
    (b'data: {"error":{"message":"words","code":null}}', ServerError),
    (b'data: {"error":{"message":"words","code":{}}}', ServerError),
    (b'data: {"error":{"message":"words","code":200}}', ServerError),
    (b'data: {"error":{"message":"words","code":-32600}}', ServerError),
    (b'data: {"error":"words"}', ServerError),
    (b'data: {"error":["words"]}', ServerError),
    (b'data: {"object":"error","choices":[],"error":{"message":"words"}}', ServerError),
    (b'data: {"error":\ndata: {"message":"words"}}', ServerError),
    (b'error: {"code":500,"message":"words","type":"server_error"}', ServerError),
    (b'error: {"error":{"code":400,"message":"words"}}', RequestRejected),
    (
        b'error: {"code":400,"message":"words","type":"exceed_context_size_error"}',
        ContextOverflow,
    ),
]


@pytest.mark.parametrize("done", [b"", b"data: [DONE]\n\n"])
@pytest.mark.parametrize(("event", "kind"), ERRORS)
@pytest.mark.parametrize("case", STREAMS)
def test_an_error_in_the_middle(
    case: str, event: bytes, kind: type[EndpointError], done: bytes
) -> None:
    """Whether or not the stream is ended behind it."""
    recorded = capture(case)
    parts = recorded.body.split(b"\n\n")
    for place in range(len(parts) - 1):
        body = b"\n\n".join([*parts[:place], event, b""]) + done
        with pytest.raises(EndpointError, match="words") as raised:
            ask(recorded, body)
        assert type(raised.value) is kind


@pytest.mark.parametrize(("event", "kind"), ERRORS)
def test_an_error_in_a_native_stream(event: bytes, kind: type[EndpointError]) -> None:
    recorded = as_stream(NATIVE)
    first, _ = NATIVE.answer()
    body = stream_of(native_events(first), done=False) + event + b"\n\n"
    with pytest.raises(EndpointError, match="words") as raised:
        ask(recorded, body)
    assert type(raised.value) is kind


def test_a_text_about_errors_is_none() -> None:
    recorded = capture("vllm__stream_completions_n2")
    body = recorded.body.replace(b'" you"', b'" \\"error\\": {}"')
    texts = [found.data.decode() for found in ask(recorded, body).value.continuations]
    assert texts == [', "error": {} could', ', "error": {} might']


@pytest.mark.parametrize("case", STREAMS)
def test_no_error_is_none(case: str) -> None:
    recorded = capture(case)
    body = recorded.body.replace(b'data: {"', b'data: {"error":null,"')
    assert shown(ask(recorded, body).value) == shown(ask(recorded).value)


@pytest.mark.parametrize("case", STREAMS)
def test_a_stream_without_its_end_is_worth_another_attempt(case: str) -> None:
    recorded = capture(case)
    first = recorded.body.index(b"\n\n") + 2
    for body in (recorded.body[:first], b": ping\n\n", b"data: "):
        with pytest.raises(MalformedResponse) as raised:
            ask(recorded, body)
        assert raised.value.transient


@pytest.mark.parametrize("case", STREAMS)
@pytest.mark.parametrize(
    "event",
    [
        b"data: nonsense",
        b'data: {"choices": 7}',
        b"data: \xff",
        b'data: {"error":{"message":"words","code":1e400}}',
        b'data: {"error":"\xff"}',
        b"error: words",
    ],
)
def test_an_event_that_is_none(case: str, event: bytes) -> None:
    recorded = capture(case)
    first, rest = recorded.body.split(b"\n\n", 1)
    with pytest.raises(msgspec.DecodeError):
        ask(recorded, b"\n\n".join([first, event, rest]))


def test_an_end_without_an_answer() -> None:
    for case in STREAMS:
        with pytest.raises(MalformedResponse, match="no choices"):
            ask(capture(case), stream_of([]))


@pytest.mark.parametrize("case", STREAMS)
def test_nothing_behind_the_end_is_read(case: str) -> None:
    recorded = capture(case)
    end = f"data: {DONE}\n\n".encode()
    body = recorded.body.removesuffix(end) + end
    assert shown(ask(recorded, body + b"data: nonsense\n\n").value) == shown(ask(recorded).value)
