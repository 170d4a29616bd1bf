"""An answer that is cut off anywhere is an error, never a shorter answer."""

from __future__ import annotations

import json
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dialects.replay import Capture, ask, capture, captures, completed, encode
from tests.dialects.strategies import unhurried
from tests.dialects.streams import (
    DONE,
    INTERLEAVED,
    STREAMS,
    as_stream,
    choices_of,
    native_events,
    stream_of,
)
from trio_beam.dialects.common.encoding import decoder_of
from trio_beam.dialects.common.error_responses import error_of
from trio_beam.dialects.common.exchange import ModelList
from trio_beam.dialects.common.limits import Limits
from trio_beam.dialects.llama_cpp_wire import decode_props, decode_template, decode_tokens
from trio_beam.errors import EndpointError, LogprobsUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_beam.dialects.common.dialect import Dialect
from trio_beam.dialects.common.exchange import ExchangeResult

#: The second is made into a `MalformedResponse` by whoever reads the body.
EXPECTED = (EndpointError, msgspec.DecodeError)
JSON = completed(stream=False)
NATIVE = "xllamacpp__native_n_cmpl2_fields"


@pytest.mark.parametrize("stream", [False, True], ids=["", "asked for as a stream"])
@pytest.mark.parametrize("case", JSON)
@unhurried(8)
@given(st.data())
def test_json(case: str, stream: bool, data: st.DataObject) -> None:
    """Also where a stream was asked for and plain JSON comes."""
    recorded = as_stream(capture(case)) if stream else capture(case)
    length = data.draw(st.integers(0, len(recorded.body) - 1))
    for kind in recorded.kinds():
        with pytest.raises(EXPECTED):
            ask(recorded, recorded.body[:length], dialect=kind())


@pytest.mark.parametrize(
    ("case", "decode"),
    [
        ("vllm__models", decoder_of(ModelList)),
        ("vllm__tokenize_prompt", decode_tokens),
        ("llamacpppython0260__extras_tokenize", decode_tokens),
        ("xllamacpp__apply_template", decode_template),
        ("xllamacpp__apply_template_prefill", decode_template),
    ],
)
def test_what_is_no_completion(case: str, decode: Any) -> None:
    body = capture(case).body
    for length in range(len(body)):
        with pytest.raises(msgspec.DecodeError):
            decode(body[:length])


def test_properties() -> None:
    body = b'{"total_slots":4,"build_info":"b1","default_generation_settings":{"n_ctx":256}}'
    for length in range(len(body)):
        with pytest.raises(msgspec.DecodeError):
            decode_props(body[:length])


@pytest.mark.parametrize("case", [case for case in captures("*") if capture(case).status != 200])
def test_a_refusal_stays_one(case: str) -> None:
    """Of the same status, with what is there of its words."""
    recorded = capture(case)
    for length in range(len(recorded.body)):
        error = error_of(recorded.status, {}, recorded.body[:length], url="", now=0.0)
        assert str(recorded.status) in error.message


# -- streams


def _ended(body: bytes) -> set[int]:
    """The choices whose end is among the events that are there."""
    ended = set()
    for lines in body.decode(errors="replace").split("\n\n")[:-1]:
        if lines == f"data: {DONE}":
            continue
        event = json.loads(lines.removeprefix("data: "))
        if event.get("stop"):
            ended.add(event["index"])
        ended |= {row["index"] for row in event.get("choices", []) if row.get("finish_reason")}
    return ended


def _blocks(answer: ExchangeResult) -> list[Any]:
    return [
        (found.tokens, list(found.keys), found.data, found.finish_reason, found.logprob)
        for found in answer.continuations
    ]


def _check_cut(
    recorded: Capture, body: bytes, length: int, whole: ExchangeResult, dialect: Dialect
) -> None:
    choices = len(whole.continuations)
    if len(_ended(body[:length])) < choices:
        with pytest.raises(EXPECTED):
            ask(recorded, body[:length], dialect=dialect)
        assert dialect.limits.n is None  # nothing was learnt from it
    else:
        answer = ask(recorded, body[:length], dialect=dialect).value
        assert _blocks(answer) == _blocks(whole)
        exact = zip(answer.continuations, whole.continuations, strict=True)
        assert all(now.exact <= before.exact for now, before in exact)


def _kinds(case: str) -> list[Callable[[], Dialect]]:
    kinds = capture(case).kinds()
    return kinds[:1] if case == "vllm__stream_utf8" else kinds  # the second would ask for a text


def _boundaries(body: bytes) -> list[int]:
    """Where an event ends, and the places around."""
    ends = list(accumulate(len(part) + 2 for part in body.split(b"\n\n")[:-1]))
    around = {end + more for end in [0, *ends] for more in range(-3, 4)}
    return sorted(place for place in around if 0 <= place < len(body))


@pytest.mark.parametrize("case", STREAMS)
def test_a_stream_at_the_end_of_each_event(case: str) -> None:
    recorded = capture(case)
    for kind in _kinds(case):
        whole = ask(recorded, dialect=kind()).value
        for length in _boundaries(recorded.body):
            _check_cut(recorded, recorded.body, length, whole, kind())


@pytest.mark.parametrize("case", STREAMS)
@unhurried(30)
@given(st.data())
def test_a_stream_anywhere(case: str, data: st.DataObject) -> None:
    recorded = capture(case)
    length = data.draw(st.integers(0, len(recorded.body) - 1))
    for kind in _kinds(case):
        whole = ask(recorded, dialect=kind()).value
        _check_cut(recorded, recorded.body, length, whole, kind())


@pytest.mark.parametrize("case", INTERLEAVED)
def test_a_stream_whose_choices_come_one_after_the_other(case: str) -> None:
    """When the first is there and nothing of the second, the second is missing all the same."""
    recorded = capture(case)
    body = stream_of([event for source in choices_of(case) for event in source])
    for kind in _kinds(case):
        whole = ask(recorded, body, dialect=kind()).value
        assert len(whole.continuations) == 2
        for length in _boundaries(body):
            _check_cut(recorded, body, length, whole, kind())


def test_a_native_stream_anywhere() -> None:
    recorded = as_stream(capture(NATIVE))
    first, second = json.loads(recorded.body)
    one, other = native_events(first), native_events(second)
    woven = [event for pair in zip(one, other, strict=True) for event in pair]
    body = stream_of(woven, done=False)
    whole = ask(recorded, body).value
    assert _blocks(whole) == _blocks(ask(capture(NATIVE)).value)
    for length in range(len(body)):
        _check_cut(recorded, body, length, whole, recorded.dialect(Limits()))


def test_a_native_stream_without_its_second_choice_is_asked_again() -> None:
    """Nothing ends such a stream, so that one without the second may be whole, or cut in between."""
    recorded = as_stream(capture(NATIVE))
    first, second = json.loads(recorded.body)
    dialect = recorded.dialect()
    whole = encode([first, second])
    replayed = ask(recorded, stream_of(native_events(first), done=False), whole, dialect=dialect)
    assert _blocks(replayed.value) == _blocks(ask(capture(NATIVE)).value)
    assert replayed.value.extra_generated == len(first["tokens"])
    assert dialect.limits.n is None
    only = encode([first])
    ask(recorded, stream_of(native_events(first), done=False), only, dialect=dialect)
    assert dialect.limits.n == 1  # now it is known


def test_a_stream_without_log_probabilities_that_is_cut() -> None:
    recorded = capture("transformersserve__chat_stream")
    for length in range(len(recorded.body)):
        with pytest.raises(EXPECTED):
            ask(recorded, recorded.body[:length])
    with pytest.raises(LogprobsUnavailable):
        ask(recorded)
