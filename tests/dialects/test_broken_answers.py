"""Whatever a recorded answer is broken into, nothing but the expected errors comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.dialects.replay import ask, capture, completed, drive, encode, prepared
from tests.dialects.strategies import unhurried
from trio_beam.core.block import known
from trio_beam.errors import EndpointError

if TYPE_CHECKING:
    from tests.dialects.replay import Capture

#: Errors that the endpoint turns into `MalformedResponse`, and our own.
EXPECTED = (msgspec.DecodeError, EndpointError)
COMPLETED = completed(stream=False)

Place = tuple[str | int, ...]


def _play(recorded: Capture, body: bytes) -> None:
    """Let a dialect read a body; whatever else it asks for, it gets the same."""
    dialect = recorded.dialect()
    exchange = dialect.sample(prepared(dialect, recorded.prompt()), recorded.request())
    try:
        answer = drive(exchange, lambda request: body).value
    except EXPECTED:
        return
    assert answer.continuations
    for continuation in answer.continuations:
        assert continuation.generated >= len(continuation.tokens)
        assert isinstance(continuation.data, bytes)
        assert isinstance(continuation.finish_reason, str)
        assert all(token.logprob <= 0 for token in continuation.tokens)
        assert known(continuation.logprob) <= 0


def _places(value: Any, here: Place = ()) -> list[Place]:
    """The way to each value inside a JSON value."""
    inner: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [here, *(place for name, item in inner for place in _places(item, (*here, name)))]


def _with(value: Any, place: Place, new: Any) -> Any:
    """A copy of a JSON value with one value replaced."""
    if not place:
        return new
    copy = value.copy()
    copy[place[0]] = _with(value[place[0]], place[1:], new)
    return copy


@unhurried(60)
@given(st.data())
def test_a_truncated_body(data: st.DataObject) -> None:
    recorded = capture(data.draw(st.sampled_from(COMPLETED)))
    length = data.draw(st.integers(0, len(recorded.body) - 1))
    with pytest.raises(EXPECTED):
        ask(recorded, recorded.body[:length])


@pytest.mark.parametrize("case", COMPLETED)
@unhurried(40)
@given(data=st.data())
def test_a_value_of_another_kind(case: str, data: st.DataObject) -> None:
    recorded = capture(case)
    answer = recorded.answer()
    place = data.draw(st.sampled_from(_places(answer)))
    other: st.SearchStrategy[Any] = st.sampled_from(
        [None, "", "x", "\ufffd", [], [None], [[]], {}, True]
    )
    _play(recorded, encode(_with(answer, place, data.draw(other))))


@pytest.mark.parametrize("case", COMPLETED)
@unhurried(40)
@given(data=st.data())
def test_a_value_that_is_missing(case: str, data: st.DataObject) -> None:
    recorded = capture(case)
    answer = recorded.answer()
    place = data.draw(st.sampled_from(_places(answer)[1:]))
    inner = answer
    for name in place[:-1]:
        inner = inner[name]
    del inner[place[-1]]
    _play(recorded, encode(answer))


@unhurried(100)
@given(st.sampled_from(COMPLETED), st.binary(max_size=50))
@example("vllm__completions_logprobs", b'{"choices": [{"text": "\xff"}]}')
@example("xllamacpp__native_completion", b'{"stop_type": "\xff"}')
def test_a_body_of_anything(case: str, body: bytes) -> None:
    _play(capture(case), body)


BYTES_OF_A_TOKEN = {
    "xllamacpp__completions_logprobs": ("choices", 0, "logprobs", "content", 0, "bytes"),
    "vllm__chat_logprobs": ("choices", 0, "logprobs", "content", 0, "bytes"),
    "xllamacpp__native_completion": ("completion_probabilities", 0, "bytes"),
}


@pytest.mark.parametrize("number", [256, -1])
@pytest.mark.parametrize("case", BYTES_OF_A_TOKEN)
def test_bytes_out_of_their_range(case: str, number: int) -> None:
    recorded = capture(case)
    _play(recorded, encode(_with(recorded.answer(), BYTES_OF_A_TOKEN[case], [number])))


@pytest.mark.parametrize("number", [256, -1])
@pytest.mark.parametrize("case", BYTES_OF_A_TOKEN)
def test_bytes_of_an_alternative_out_of_their_range(case: str, number: int) -> None:
    recorded = capture(case)
    place = (*BYTES_OF_A_TOKEN[case][:-1], "top_logprobs", 0, "bytes")
    _play(recorded, encode(_with(recorded.answer(), place, [number])))


@pytest.mark.parametrize("case", ["vllm__completions_logprobs", "xllamacpp__native_completion"])
def test_a_body_that_is_nested_too_deeply(case: str) -> None:
    recorded = capture(case)
    with pytest.raises(EXPECTED):
        ask(recorded, b'{"more":' + b"[" * 100_000)
