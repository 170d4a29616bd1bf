"""Streams of server-sent events: how they are read, and what they amount to.

Recorded are streams without a fault; those with one are made of them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dialects.replay import Capture, ask, capture, completed, encode, only, sent
from tests.dialects.strategies import unhurried
from tests.dialects.streams import (
    DONE,
    INTERLEAVED,
    choices_of,
    native_events,
    stream_of,
    woven,
)
from trio_beam.dialects.base import DIALECTS
from trio_beam.dialects.limits import Limits
from trio_beam.dialects.sse import read_events
from trio_beam.errors import (
    ContextOverflow,
    EndpointError,
    MalformedResponse,
    RateLimited,
    RequestRejected,
    ServerError,
)

if TYPE_CHECKING:
    from trio_beam.dialects.base import Answer

#: Read as they come, by one request.
STREAMS = [
    case
    for case in completed(stream=True)
    if case not in ("transformersserve__chat_stream", "xllamacpp__native_stream_utf8")
]
HIDDEN = capture("xllamacpp__native_stream_utf8")
NATIVE = capture("xllamacpp__native_n_cmpl2_fields")


def shown(answer: Answer) -> list[Any]:
    """All that an answer says."""
    each = [
        (found.tokens, list(found.keys), found.data, found.finish_reason, found.exact)
        for found in answer.continuations
    ]
    generated = [(found.logprob, found.generated) for found in answer.continuations]
    return [each, generated, answer.prompt_tokens, answer.generated_besides]


# -- events


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b"data: 1\n\ndata: 2\n\n", [b"1", b"2"]),
        (b"data:1\n\ndata:  2\n\n", [b"1", b" 2"]),
        (b"data: 1\r\n\r\ndata: 2\r\n\r\n", [b"1", b"2"]),
        (b"data: 1\r\rdata: 2\r\r", [b"1", b"2"]),
        (b"data: 1\r\n\ndata: 2\n\r\n", [b"1", b"2"]),
        (b"\xef\xbb\xbfdata: 1\n\n", [b"1"]),
        (b"\n\n\n\r\ndata: 1\n\n\n\n\ndata: 2\n\n", [b"1", b"2"]),
        (b"data: [1,\ndata: 2]\n\n", [b"[1,\n2]"]),
        (b": a comment\n\ndata: 1\n: another\n\n", [b"1"]),
        (b"data: [1,\n:\ndata: 2]\n\n", [b"[1,\n2]"]),
        (b":\n\n:\n\ndata: 1\n\n", [b"1"]),
        (b"data:\n\ndata\n\ndata: 1\n\n", [b"1"]),
        (b"event: message\nid: 7\nretry: 9\ndata: 1\n\n", [b"1"]),
        (b"data: 1\nevent: message\n\nnonsense\n\n{}\n\n", [b"1"]),
        ('data: "\u2028\x0b\x0c\x1c\x85"\n\n'.encode(), ['"\u2028\x0b\x0c\x1c\x85"'.encode()]),
        (b"data: a: b\n\n", [b"a: b"]),
        # What is not ended by an empty line is not there.
        (b"data: 1\n\ndata: 2\n", [b"1"]),
        (b"data: 1\n\ndata: 2", [b"1"]),
        (b"data: 1\n\ndata: 2\ndata", [b"1"]),
        (b"data: 1\r", []),
        (b"", []),
        (b"\n", []),
        (b"\xff\xfe\n\n", []),
        # The field was llama.cpp's own, and its data no error object.
        (b'error: {"code":500}\n\n', [b'{"error":{"code":500}}']),
        (b'error: {"error":{"code":500}}\n\n', [b'{"error":{"code":500}}']),
    ],
)
def test_events(body: bytes, events: list[bytes]) -> None:
    assert list(read_events(body)) == events


_LINES = st.text('ab{}[]":,\u2028\x0b', min_size=1, max_size=6).filter(str.strip).map(str.encode)


@unhurried()
@given(st.data())
def test_events_are_told_apart_however_lines_end(data: st.DataObject) -> None:
    events = data.draw(st.lists(st.lists(_LINES, min_size=1, max_size=3), max_size=4))
    ends = st.sampled_from([b"\n", b"\r\n"])  # a bare \r before a \n would be one end with it
    between = st.sampled_from([b"", b": ping", b":", b"event: x", b"id"])
    body = b""
    for lines in events:
        for line in lines:
            body += b"data: " + line + data.draw(ends)
            extra = data.draw(between)
            body += extra + data.draw(ends) if extra else b""
        body += data.draw(ends)
    assert list(read_events(body)) == [b"\n".join(lines) for lines in events]


# -- the same stream, written in other ways


def _comments(body: bytes) -> bytes:
    return b": hello\n\n" + body.replace(b"\n\n", b"\n: ping\n\n:\n\n")


def _split(body: bytes) -> bytes:
    """Each event on several lines, cut where JSON allows a space."""
    return body.replace(b"data: {", b"data: {\ndata:").replace(
        b'"choices":[', b'"choices":\ndata:['
    )


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda body: body.replace(b"\n", b"\r\n"),
        lambda body: body.replace(b"\n", b"\r"),
        lambda body: b"\xef\xbb\xbf" + body,
        lambda body: b"\n\n" + body,
        lambda body: body.replace(b"data: ", b"data:"),
        lambda body: body.replace(b"\n\n", b"\n\n\n"),
        lambda body: body.replace(b"data: ", b"event: message\nid: 1\ndata: "),
        lambda body: body.removesuffix(b"\n"),  # without the empty line behind [DONE]
        lambda body: body.removesuffix(b"data: [DONE]\n\n"),
        _comments,
        _split,
    ],
    ids=[
        *("crlf", "cr", "bom", "leading", "tight", "blank"),
        *("fields", "unended", "undone", "comments", "split"),
    ],
)
@pytest.mark.parametrize("case", STREAMS)
def test_another_spelling_is_the_same_answer(case: str, rewrite: Any) -> None:
    recorded = capture(case)
    assert shown(ask(recorded, rewrite(recorded.body)).value) == shown(ask(recorded).value)


# -- choices and counts


@pytest.mark.parametrize("case", INTERLEAVED)
@unhurried(30)
@given(st.data())
def test_any_interleaving_is_the_same_answer(case: str, data: st.DataObject) -> None:
    """Also with the chunks that hold the counts among the tokens, wherever they come."""
    recorded = capture(case)
    sources = choices_of(case)
    order = data.draw(st.permutations([at for at, one in enumerate(sources) for _ in one]))
    body = stream_of(woven(sources, order))
    for kind in recorded.kinds():
        now, before = (ask(recorded, some, dialect=kind()) for some in (body, recorded.body))
        assert shown(now.value) == shown(before.value)


@unhurried(30)
@given(st.data())
def test_any_interleaving_of_native_events(data: st.DataObject) -> None:
    recorded = _asked_as_stream(NATIVE)
    sources = [native_events(native) for native in NATIVE.answer()]
    order = data.draw(st.permutations([at for at, one in enumerate(sources) for _ in one]))
    found = ask(recorded, stream_of(woven(sources, order), done=data.draw(st.booleans()))).value
    plain = ask(NATIVE).value
    assert shown(found)[:2] == shown(plain)[:2]
    assert found.prompt_tokens == 4


def _asked_as_stream(recorded: Capture) -> Capture:
    asked = recorded.asked | {"stream": True}
    return Capture(recorded.path, asked, 200, recorded.headers, recorded.body)


@pytest.mark.parametrize(
    ("case", "prompt", "counts"),
    [
        ("xllamacpp__stream_completions_n2", 4, 2),  # one for each choice
        ("xllamacpp__stream_chat_n2_prefill", 32, 2),
        ("vllm__stream_completions_n2", 4, 1),  # one for all
        ("vllm__stream_chat_n2_prefill", 32, 1),
    ],
)
def test_the_prompt_is_counted_once(case: str, prompt: int, counts: int) -> None:
    recorded = capture(case)
    assert sum(bool(event.get("usage")) for event in recorded.events()) == counts
    answer = ask(recorded).value
    assert answer.prompt_tokens == prompt
    assert [found.generated for found in answer.continuations] == [
        len(found.tokens) for found in answer.continuations
    ]


def test_hidden_tokens_of_a_choice_alone_are_in_the_count() -> None:
    found = only(ask(capture("xllamacpp__stream_utf8")).value)
    assert found.data.decode() == "漢字"
    assert (len(found.tokens), found.generated, found.exact) == (2, 6, False)


def test_choices_that_were_ignored_are_a_lesson() -> None:
    recorded = capture("llamacpppython0260__stream_completions")
    dialect = recorded.dialect()
    assert len(ask(recorded, dialect=dialect, n=3).value.continuations) == 1
    assert dialect.limits.n == 1


def test_what_is_asked_for() -> None:
    recorded = capture("vllm__stream_completions_n2")
    for kind in recorded.kinds():
        (request,) = ask(recorded, dialect=kind()).requests
        body = sent(request)
        assert body["stream"] is True
        assert body["stream_options"] == {"include_usage": True}
    (request,) = ask(_asked_as_stream(capture("xllamacpp__native_completion"))).requests
    assert sent(request)["stream"] is True


@pytest.mark.parametrize("name", DIALECTS.names())
def test_every_dialect_can_be_made_for_streams(name: str) -> None:
    """The endpoint makes all of them by the same arguments."""
    assert DIALECTS[name]("smol", "auto", Limits(), True).stream


# -- faults


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
    recorded = _asked_as_stream(NATIVE)
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


# -- plain JSON


@pytest.mark.parametrize(
    "case",
    [
        "vllm__completions_n3_seed",
        "vllm__chat_n2",
        "xllamacpp__completions_n3_seed",
        "xllamacpp__chat_n2",
        "llamacpppython0260__completions_logprobs",
        "xllamacpp__native_completion",
        "xllamacpp__native_eos",
        "xllamacpp__native_n_cmpl2_fields",
    ],
)
@pytest.mark.parametrize("before", [b"", b"\n ", b"\r\n"])
def test_a_server_that_answers_by_plain_json(case: str, before: bytes) -> None:
    recorded = _asked_as_stream(capture(case))
    found = ask(recorded, before + recorded.body).value
    assert shown(found) == shown(ask(capture(case)).value)


# -- hidden tokens in llama.cpp's own stream


def test_a_native_stream_with_hidden_tokens_is_asked_again() -> None:
    """Without a stream, by the same seed; what both cost is counted. The repairs follow."""
    whole = capture("xllamacpp__native_utf8_mt4")  # the same prompt and temperature
    first = {"id": 177, "token": "\ufffd", "bytes": [230], "logprob": -0.75}
    second = {"id": 137, "token": "\ufffd", "bytes": [188], "logprob": -0.01}
    answers = [encode({"tokens": [253]})]
    for hidden in (first, second):
        entry = {"id": 253, "token": "a", "bytes": [97], "logprob": -9, "top_logprobs": [hidden]}
        counted = {"tokens_evaluated": 39}
        answers.append(encode({"tokens": [253], "completion_probabilities": [entry], **counted}))
    replayed = ask(HIDDEN, HIDDEN.body, whole.body, *answers)
    found = only(replayed.value)
    assert [token.id for token in found.tokens] == [177, 137, 112, 36518]
    assert [token.logprob for token in found.tokens[:2]] == [-0.75, -0.01]
    assert found.data.decode() == "漢字"
    assert found.exact
    stream, again, *_ = (sent(request) for request in replayed.requests if "/c" in request.path)
    fields = stream.pop("response_fields")
    assert set(fields) >= {*again.pop("response_fields"), "stop", "tokens_predicted"}
    assert stream == again | {"stream": True}
    assert isinstance(again["seed"], int)
    # 38 tokens of prompt twice and two repairs; 4 tokens in the stream, 2 of them not shown.
    assert replayed.value.prompt_tokens == 38 + 38 + 39 + 39
    assert replayed.value.generated_besides == 4 + 2


def test_a_seed_of_the_searchs_own_is_kept() -> None:
    whole = capture("xllamacpp__native_completion")
    requests = ask(HIDDEN, HIDDEN.body, whole.body, seed=11).requests
    assert [sent(request)["seed"] for request in requests] == [11, 11]


def test_two_choices_with_hidden_tokens_in_one_of_them() -> None:
    whole, hidden = capture("xllamacpp__native_completion").answer(), HIDDEN.events()
    events = [*native_events(whole | {"index": 1}), *hidden]
    again = [whole | {"index": place} for place in (0, 1)]
    replayed = ask(HIDDEN, stream_of(events, done=False), encode(again), n=2)
    assert len(replayed.requests) == 2
    assert [found.data for found in replayed.value.continuations] == [b", I've"] * 2
    assert replayed.value.generated_besides == 3 + 4
    assert replayed.value.prompt_tokens == 38 + 4


def test_a_native_stream_without_hidden_tokens_is_enough() -> None:
    plain = capture("xllamacpp__native_completion")
    body = stream_of(native_events(plain.answer()), done=False)
    found = ask(_asked_as_stream(plain), body).value
    assert shown(found) == shown(ask(plain).value)
    ended = capture("xllamacpp__native_eos")
    body = stream_of(native_events(json.loads(ended.body)), done=False)
    assert shown(ask(_asked_as_stream(ended), body).value) == shown(ask(ended).value)
