"""Whatever comes, a parser ends in an answer or in an error of ours.

Bounded: each of these is to take seconds. `msgspec.DecodeError` is what the endpoint makes a
`MalformedResponse` of.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from tests.dialects.replay import Capture, capture, completed, drive, encode, prepared, sent
from tests.dialects.strategies import unhurried
from tests.dialects.streams import DONE, native_events, stream_of
from trio_beam.core.block import known
from trio_beam.dialects.common.encoding import decoder_of
from trio_beam.dialects.common.error_responses import error_of
from trio_beam.dialects.common.exchange import ModelList
from trio_beam.dialects.common.limits import Limits
from trio_beam.dialects.common.sse import read_events
from trio_beam.dialects.llama_cpp_wire import decode_props, decode_template, decode_tokens
from trio_beam.errors import EndpointError, RequestRejected, TrioBeamError

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_beam.dialects.common.dialect import Dialect
from trio_beam.dialects.common.exchange import ExchangeResult, WireRequest

EXPECTED = (TrioBeamError, msgspec.DecodeError)
#: Of each shape of answer some, among them those that are short of something.
CASES = [
    "llamacpppython0260__chat_logprobs",
    "llamacpppython0260__completions_logprobs",
    "transformersserve__chat_logprobs",
    "vllm__chat_n2",
    "vllm__chat_prefill_continue",
    "vllm__completions_eos",
    "vllm__completions_n3_seed",
    "vllm__completions_return_token_ids",
    "vllm__completions_utf8_mt5",
    "xllamacpp__chat_logprobs",
    "xllamacpp__chat_prefill",
    "xllamacpp__completions_eos",
    "xllamacpp__completions_n3_seed",
    "xllamacpp__completions_utf8_mt5",
    "xllamacpp__native_completion",
    "xllamacpp__native_eos",
    "xllamacpp__native_n_cmpl2_fields",
    "xllamacpp__native_utf8_mt6",
]
STREAMS = completed(stream=True)
assert set(CASES) <= set(completed(stream=False))
#: Raw JSON, among it what Python's own encoder does not write.
ODD = [
    *(b"null", b"true", b"{}", b"[]", b"[null]", b"[[]]", b'""', b'"x"', b"0", b"-1", b"-0.0"),
    *(b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"1e308", b"-1e308", b"1e-400"),
    *(b"1.5", b"256", b"2147483648", b"9223372036854775808", b"-9223372036854775809"),
    *(b"9" * 400, b"-" + b"9" * 400, b"1" + b"0" * 5000),
    *(b'"\\ud800"', b'"\\udc00x"', b'"\\ud83e\\udd9c"', b'"\xff"', b'"\xed\xa0\x80"', b'"\\u0000"'),
    *(b"[" * 2000, b"[" * 2000 + b"]" * 2000, b'{"a":' * 2000 + b"1" + b"}" * 2000),
]
NAMES = [
    *("choices", "index", "text", "delta", "message", "content", "finish_reason", "usage"),
    *("logprobs", "tokens", "token_logprobs", "top_logprobs", "token_ids", "id", "token", "bytes"),
    *(
        "logprob",
        "completion_probabilities",
        "tokens_predicted",
        "stop",
        "missing",
        "error",
        "code",
    ),
    *("prompt_tokens", "completion_tokens", "prompt", "data", "owned_by", "total_slots"),
]
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
).map(lambda value: json.dumps(value).encode())
#: Placeholder of a value that is replaced by raw JSON.
_HOLE = "a hole"
_MARK = json.dumps(_HOLE).encode()


def _play(recorded: Capture, body: bytes) -> None:
    """Let the dialects read a body; whatever else they ask for, they get the same."""
    for kind in recorded.kinds():
        _play_to(kind(), recorded, body)


def _play_to(dialect: Dialect, recorded: Capture, body: bytes) -> None:
    requests = 0

    def server(request: WireRequest[Any]) -> bytes | EndpointError:
        nonlocal requests
        requests += 1
        sent(request)  # it is JSON, whatever was put into it
        assert requests < 200, "it asks without end"
        return body if requests < 50 else RequestRejected("HTTP 400: enough", status=400)

    wish = recorded.request()
    try:
        answer = drive(dialect.sample(prepared(dialect, recorded.prompt()), wish), server).value
    except EXPECTED:
        return
    _check(answer, wish.n)


def _check(answer: ExchangeResult, n: int) -> None:
    """Check the properties that searches rely on."""
    assert 0 < len(answer.continuations) <= n
    assert answer.prompt_tokens >= 0
    assert answer.extra_generated >= 0
    for found in answer.continuations:
        assert found.generated >= len(found.tokens) == len(found.keys)
        assert isinstance(found.data, bytes)
        assert isinstance(found.finish_reason, str)
        assert known(found.logprob) <= 0  # neither is it not a number
        for token in found.tokens:
            assert token.logprob <= 0
            assert all(other.logprob <= 0 for other in token.top)
            token.text.encode()
    msgspec.json.encode([[found.data, found.finish_reason] for found in answer.continuations])


def _places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [here, *(place for name, item in inner for place in _places(item, (*here, name)))]


def _put(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    copy = value.copy()
    copy[place[0]] = _put(value[place[0]], place[1:], new)
    return copy


def _drop(value: Any, place: tuple[Any, ...]) -> Any:
    copy = value.copy()
    if len(place) == 1:
        del copy[place[0]]
    else:
        copy[place[0]] = _drop(value[place[0]], place[1:])
    return copy


def _spoilt(draw: st.DrawFn, value: Any) -> bytes:
    """JSON with up to three values replaced, left out, doubled or given another's place."""
    holes = []
    for _ in range(draw(st.integers(1, 3))):
        places = _places(value)
        place = draw(st.sampled_from(places))
        deed = draw(st.sampled_from(["replace", "replace", "replace", "drop", "swap", "double"]))
        if deed == "drop" and place:
            value = _drop(value, place)
        elif deed == "swap":
            other: Any = value
            for name in draw(st.sampled_from(places)):
                other = other[name]
            value = _put(value, place, other)
        elif deed == "double" and isinstance(place and place[-1], int):
            row: Any = value
            for name in place[:-1]:
                row = row[name]
            value = _put(value, place[:-1], [*row, row[place[-1]]])
        else:
            value = _put(value, place, _HOLE)
            holes.append(draw(st.sampled_from(ODD) | ANY_JSON))
    parts = encode(value).split(_MARK)
    filled = parts[0]
    for place, part in enumerate(parts[1:]):
        filled += (holes[place % len(holes)] if holes else b"1") + part
    return filled


@st.composite
def _answers(draw: st.DrawFn) -> tuple[str, bytes]:
    case = draw(st.sampled_from(CASES))
    return case, _spoilt(draw, capture(case).answer())


_WITH_IDS = "vllm__completions_return_token_ids"
#: A token without its log-probability, and then no ids of the prompt to ask for it by.
_SHORT = capture(_WITH_IDS).body.replace(b"[-0.07489729672670364, ", b"[")
_PROMPT = b"[6403, 1980, 253, 655]"


@unhurried(1000)
@given(_answers())
@example((_WITH_IDS, _SHORT))
@example((_WITH_IDS, _SHORT.replace(_PROMPT, b"null")))
@example((_WITH_IDS, _SHORT.replace(_PROMPT, b"[]")))
def test_a_spoilt_answer(spoilt: tuple[str, bytes]) -> None:
    _play(capture(spoilt[0]), spoilt[1])


@unhurried(300)
@given(st.sampled_from(CASES + STREAMS), st.binary(max_size=80) | ANY_JSON | st.sampled_from(ODD))
@example(CASES[0], b"\xef\xbb\xbf{}")
@example(STREAMS[0], b"data: " + b"[" * 100_000 + b"\n\n")
@example(STREAMS[0], b'data: {"error":' + b"[" * 100_000 + b"\n\n")
@example(STREAMS[0], b'{"error":' + b"[" * 100_000)
def test_a_body_of_anything(case: str, body: bytes) -> None:
    _play(capture(case), body)


@st.composite
def _streams(draw: st.DrawFn) -> tuple[str, bytes]:
    """Events of recorded streams, spoilt, left out, doubled, mixed with others' and with noise."""
    case = draw(st.sampled_from(STREAMS))
    pool = [*capture(case).events(), *capture(draw(st.sampled_from(STREAMS))).events()]
    own = len(capture(case).events())
    order = draw(
        st.permutations(range(own)) | st.just(range(own)) | st.lists(st.integers(0, len(pool) - 1))
    )
    body = b""
    noise = (
        st.sampled_from([b"", b"\n", b": ping\n", b"\r", b"data", b"data: [DONE]\n\n", b"\xff\n"])
        | st.binary(max_size=8)
        | st.sampled_from(ODD).map(lambda odd: b"data: " + odd + b"\n\n")
        | ANY_JSON.map(lambda odd: b"error: " + odd + b"\n\n")
    )
    for place in order:
        event = pool[place]
        spoil = draw(st.integers(0, 9)) == 0
        data = _spoilt(draw, event) if spoil else encode(event)
        body += b"data: " + data + draw(st.sampled_from([b"\n\n", b"\n\n", b"\r\n\r\n", b"\n"]))
        body += draw(noise) if draw(st.integers(0, 4)) == 0 else b""
    return case, body + draw(st.sampled_from([f"data: {DONE}\n\n".encode(), b""]))


@unhurried(500)
@given(_streams())
def test_a_spoilt_stream(spoilt: tuple[str, bytes]) -> None:
    _play(capture(spoilt[0]), spoilt[1])


@st.composite
def _native_streams(draw: st.DrawFn) -> bytes:
    case = draw(st.sampled_from([case for case in CASES if "native" in case]))
    answer = capture(case).answer()
    rows = answer if isinstance(answer, list) else [answer]
    events = [event for row in rows for event in native_events(row)]
    chosen = draw(st.lists(st.sampled_from(events), max_size=8) | st.permutations(events))
    body = stream_of(chosen, done=draw(st.booleans()))
    if chosen and draw(st.booleans()):
        body += b"data: " + _spoilt(draw, chosen[0]) + b"\n\n"
    return body


@unhurried(300)
@given(_native_streams())
def test_a_spoilt_native_stream(body: bytes) -> None:
    recorded = capture("xllamacpp__native_n_cmpl2_fields")
    as_stream = Capture(recorded.path, recorded.asked | {"stream": True}, 200, {}, body)
    _play(as_stream, body)


@unhurried(300)
@given(st.lists(st.binary(max_size=6) | st.sampled_from([b"data:", b"error:", b"\n", b"\r", b":"])))
def test_events_of_anything(parts: list[bytes]) -> None:
    assert all(isinstance(event, bytes) for event in read_events(b"".join(parts)))


@unhurried(300)
@given(st.integers(300, 599), st.sampled_from(ODD) | ANY_JSON | st.binary(max_size=60), st.data())
def test_a_refusal_of_anything(status: int, body: bytes, data: st.DataObject) -> None:
    """Nor does one that is learnt from."""
    wrapped = data.draw(st.sampled_from([b"%s", b'{"error":%s}', b'{"error":{"message":%s}}']))
    error = error_of(status, {}, wrapped % body, url="", now=0.0)
    assert isinstance(error, EndpointError)
    if isinstance(error, RequestRejected):
        limits = Limits()
        limits.learn(error, n=9, logprobs=20)
        assert limits.n is None or 1 <= limits.n < 9
        assert limits.logprobs is None or 1 <= limits.logprobs < 20


DECODERS = [decode_props, decode_template, decode_tokens, decoder_of(ModelList)]


@unhurried(300)
@given(st.sampled_from(DECODERS), st.sampled_from(ODD) | ANY_JSON | st.binary(max_size=60))
def test_what_is_no_completion(decode: Callable[[bytes], Any], body: bytes) -> None:
    with contextlib.suppress(*EXPECTED):
        decode(body)
