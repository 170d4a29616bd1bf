"""Tool calls on beams: which are equal, which are complete, and how they are voted on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.builders import block
from trio_beam.answers import Vote, tool_calls
from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation
from trio_beam.core.export import result_to_dict
from trio_beam.core.result import SearchResult
from trio_beam.core.tool_calls import ToolCall
from trio_beam.core.usage import Usage

PARIS = ToolCall("weather", '{"city": "Paris", "days": 1}', "c1")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def calling(*calls: ToolCall, text: str = "", finish: str = "stop", **changes: Any) -> Beam:
    made = Continuation(
        tokens=(),
        data=text.encode(),
        finish_reason=finish,
        keys=[text.encode()],
        logprob=None,
        tool_calls=calls,
    )
    return Beam().extend(made).replace(**changes)


def shuffled(value: Any) -> Any:
    """The same value with the members of objects in another order."""
    if isinstance(value, dict):
        return {name: shuffled(value[name]) for name in reversed(value)}
    return [shuffled(inner) for inner in value] if isinstance(value, list) else value


@given(arguments=st.dictionaries(st.text(), JSON, max_size=4), indent=st.none() | st.integers(0, 3))
def test_equal_arguments_have_equal_texts(arguments: dict[str, Any], indent: int | None) -> None:
    one = ToolCall("f", json.dumps(arguments))
    other = ToolCall("f", json.dumps(shuffled(arguments), indent=indent), "another id")
    assert one.text == other.text
    assert one.is_json
    assert json.loads(one.text)["name"] == "f"
    assert ToolCall("g", one.arguments).text != one.text


@pytest.mark.parametrize(
    ("one", "other"), [('{"a": 1}', '{"a": 1.0}'), ("", "{}"), ('{"a": 10}', '{"a": 1e1}')]
)
def test_numbers_and_nothing_have_one_spelling(one: str, other: str) -> None:
    assert ToolCall("f", one).text == ToolCall("f", other).text


@pytest.mark.parametrize(
    "arguments", ['{"city": "Par', "Paris", '{"a": NaN}', '{"a": 1e999}', "[" * 9999]
)
def test_what_is_no_json_stays_as_it_is(arguments: str) -> None:
    call = ToolCall("f", arguments)
    assert not call.is_json
    assert json.loads(call.text)["arguments"] == arguments


def test_a_call_is_an_answer() -> None:
    beam = calling(PARIS)
    assert (beam.text, beam.tool_calls, beam.unanswered) == ("", (PARIS,), False)
    assert beam.answer == '{"name": "weather", "arguments": {"city": "Paris", "days": 1}}'
    beam = calling(PARIS, text="<think>hm</think>Let me see.")
    assert (beam.reasoning, beam.text, beam.unanswered) == ("hm", "Let me see.", False)
    assert beam.answer.startswith('Let me see.\n{"name"')


def test_a_call_that_was_cut_off_is_no_answer() -> None:
    cut = ToolCall("weather", '{"city": "Par')
    beam = calling(cut, finish="length")
    assert (beam.tool_calls, beam.answer, beam.unanswered) == ((), "", True)
    beam = calling(PARIS, cut, finish="length")
    assert (beam.tool_calls, beam.unanswered) == ((PARIS,), False)
    # A mistake of the model's is its answer all the same.
    assert calling(cut).tool_calls == (cut,)


def test_a_stop_string_before_a_call_drops_it() -> None:
    assert calling(PARIS, text="no. ").continuation.cut(1, "stop").tool_calls == ()  # type: ignore[union-attr]


def test_votes_count_calls_by_name_and_arguments() -> None:
    same = ToolCall("weather", '{"days":1.0,"city":"Paris"}', "c2")
    beams = [
        calling(ToolCall("weather", '{"city": "Rome"}'), score=3.0),
        calling(PARIS, score=2.0),
        Beam().extend(block("Sunny.", reason="stop")).replace(score=1.0),
        calling(same, score=0.0),
    ]
    order, votes = Vote().choose(beams)
    assert order[0].tool_calls == (PARIS,)
    assert [round(4 * share) for _, share in votes] == [2, 1, 1]
    assert [answer for answer, _ in votes][2] == "Sunny."
    order, votes = Vote(tool_calls).choose(beams)
    assert [round(3 * share) for _, share in votes] == [2, 1]
    _, votes = Vote(r"\w+").choose(beams)  # a key of texts sees texts only
    assert votes == (("Sunny", 1.0),)


def test_the_order_of_parallel_calls_does_not_count() -> None:
    rome = ToolCall("weather", '{"city": "Rome"}')
    _, votes = Vote().choose([calling(PARIS, rome), calling(rome, PARIS)])
    assert len(votes) == 1


def test_results_as_data_have_them_in_the_form_of_a_message() -> None:
    beam = calling(PARIS)
    result = SearchResult(
        text="", score=0.0, beams=(beam,), usage=Usage(), rounds=1, stop_reason="finished"
    )
    (shown,) = result_to_dict(result)["beams"]
    assert shown["tool_calls"] == [
        {
            "id": "c1",
            "type": "function",
            "function": {"name": "weather", "arguments": '{"city": "Paris", "days": 1}'},
        }
    ]
