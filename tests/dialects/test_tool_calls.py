"""Tool calls in responses: whole, in streams, with log-probabilities and without."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation
from trio_beam.core.language_model import SampleRequest
from trio_beam.core.prompt import check_prompt
from trio_beam.core.tool_calls import ToolCall
from trio_beam.dialects.common.limits import Limits
from trio_beam.dialects.common.tool_calls import read_calls
from trio_beam.dialects.openai import OpenAI
from trio_beam.dialects.openai_wire import decoder
from trio_beam.errors import LogprobsUnavailable, MalformedResponse

TOOLS: dict[str, Any] = {
    "tools": [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"a": 1}'}}
TOKENS = ["<tool_call>", '{"name": "weather", ', '"arguments": {"a": 1}}', "</tool_call>"]


def read(
    *choices: dict[str, Any],
    logprobs: bool = False,
    fields: dict[str, Any] = TOOLS,
    usage: Any = None,
    max_tokens: int = 10,
) -> list[Continuation]:
    """What the dialect makes of a response with these choices."""
    dialect = OpenAI("m", "chat", Limits())
    prompt = attrs.evolve(check_prompt([{"role": "user", "content": "?"}]), extra_body=fields)
    with pytest.raises(StopIteration) as prepared:
        next(dialect.prepare(prompt))
    request = SampleRequest(
        beam=Beam(),
        n=len(choices),
        max_tokens=max_tokens,
        temperature=1.0,
        top_logprobs=0,
        seed=None,
        logprobs=logprobs,
    )
    exchange = dialect.sample(prepared.value.value, request)
    wire = next(exchange)
    assert json.loads(wire.body or b"").items() >= fields.items()
    body = {"choices": [{"index": k, **one} for k, one in enumerate(choices)], "usage": usage}
    with pytest.raises(StopIteration) as done:
        exchange.send(wire.decode(json.dumps(body).encode()))
    return list(done.value.value.continuations)


def message(finish: str = "tool_calls", **fields: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": None, **fields}, "finish_reason": finish}


def scored(*tokens: str) -> dict[str, Any]:
    return {"logprobs": {"content": [{"token": token, "logprob": -1.0} for token in tokens]}}


SHAPES = {
    "OpenAI": message(tool_calls=[CALL]),
    "finish_reason stop": message("stop", tool_calls=[CALL], content=""),
    "arguments as an object": message(
        tool_calls=[{"id": "c1", "function": {"name": "weather", "arguments": {"a": 1}}}]
    ),
    "the former field": message(
        "function_call", function_call={"name": "weather", "arguments": '{"a": 1}'}
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("logprobs", [False, True])
def test_a_call_is_read_in_every_shape(shape: str, logprobs: bool) -> None:
    (block,) = read({**SHAPES[shape], **scored(*TOKENS)}, logprobs=logprobs)
    beam = Beam().extend(block)
    (call,) = beam.tool_calls
    assert call.text == '{"name": "weather", "arguments": {"a": 1}}'
    assert (beam.text, beam.finished, beam.unanswered) == ("", True, False)
    assert beam.logprob == (-4.0 if logprobs else None)


def test_text_thinking_and_calls_come_together() -> None:
    choice = message(tool_calls=[CALL], content="Let me see.", reasoning_content="hm")
    (block,) = read({**choice, **scored("hm", "Let me see.", *TOKENS)}, logprobs=True)
    beam = Beam().extend(block)
    assert (beam.reasoning, beam.text, len(beam.tool_calls)) == ("hm", "Let me see.", 1)
    assert len(beam.tokens) == 6


def test_blocks_that_differ_in_their_calls_only_are_not_equal() -> None:
    other = {"id": "c2", "function": {"name": "weather", "arguments": '{"a": 2}'}}
    same = {"id": "c3", "function": {"name": "weather", "arguments": '{"a":1}'}}
    choices = [message(tool_calls=[call]) for call in (CALL, other, same)]
    for extra in ({}, scored("<call>")):  # some servers have log-probabilities of a part only
        blocks = read(*({**one, **extra} for one in choices), logprobs=bool(extra))
        first, second, third = (Beam().extend(block) for block in blocks)
        assert not first.same_tokens(second)
        assert first.same_tokens(third)


def test_a_call_at_the_very_end_of_the_room_is_complete() -> None:
    (block,) = read({**message(tool_calls=[CALL]), **scored(*TOKENS)}, logprobs=True, max_tokens=4)
    assert block.finish_reason == "stop"
    cut = {"function": {"name": "weather", "arguments": '{"a'}}
    for finish in ("length", "stop", "tool_calls"):
        choice = {**message(finish, tool_calls=[cut]), **scored(*TOKENS)}
        (block,) = read(choice, logprobs=True, max_tokens=4)
        beam = Beam().extend(block)
        assert (beam.finish_reason, beam.unanswered, beam.tool_calls) == ("length", True, ())


def test_a_call_that_nobody_asked_for_is_no_answer() -> None:
    with pytest.raises(MalformedResponse, match="into 'tool_calls'"):
        read(message(tool_calls=[CALL]), fields={})


def test_log_probabilities_of_a_call_may_be_missing() -> None:
    with pytest.raises(LogprobsUnavailable, match="without log-probabilities"):
        read(message(tool_calls=[CALL]), logprobs=True)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}])
def test_a_choice_of_tools_that_was_ignored_is_an_error(choice: Any) -> None:
    fields = {**TOOLS, "tool_choice": choice}
    with pytest.raises(MalformedResponse, match="did not heed tool_choice"):
        read(message("stop", content="Sunny."), fields=fields)
    assert read(message("length", content="I think"), fields=fields)
    assert read(message("stop", content="Sunny."), fields={**TOOLS, "tool_choice": "auto"})


@given(
    calls=st.lists(
        st.tuples(st.sampled_from(["f", "g"]), st.dictionaries(st.text(), st.text(), max_size=2)),
        min_size=1,
        max_size=3,
    ),
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=5),
    indexed=st.booleans(),
)
def test_no_split_of_a_stream_changes_them(
    calls: list[tuple[str, dict[str, str]]], sizes: list[int], indexed: bool
) -> None:
    pieces: list[dict[str, Any]] = []
    for number, (name, given_) in enumerate(calls):
        place = {"index": number} if indexed else {}
        arguments, start = json.dumps(given_), 0
        pieces.append({**place, "id": f"c{number}", "function": {"name": name, "arguments": ""}})
        for size in [*sizes, len(arguments)]:
            pieces.append({**place, "function": {"arguments": arguments[start : start + size]}})
            start += size
    wanted = tuple(
        ToolCall(name, json.dumps(given_), f"c{number}")
        for number, (name, given_) in enumerate(calls)
    )
    assert read_calls(pieces) == wanted
    deltas = [{"tool_calls": [piece]} for piece in pieces]
    events = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    completion = decoder(top=False, stream=True, n=1)(body.encode())
    assert completion.choices
    assert completion.choices[0].tool_calls == wanted


@pytest.mark.parametrize(
    "pieces", [["x"], [None], [{}], [{"function": 3}], [{"function": {"name": 7}}]]
)
def test_what_is_no_call_is_left_out(pieces: list[Any]) -> None:
    assert read_calls(pieces) == ()
