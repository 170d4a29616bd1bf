"""Thinking apart from the answer, in the shapes that servers document: fields, parts, hidden, streams."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation
from trio_beam.core.language_model import SampleRequest
from trio_beam.core.prompt import check_prompt
from trio_beam.dialects.common.limits import Limits
from trio_beam.dialects.openai import OpenAI
from trio_beam.dialects.openai_wire import decoder
from trio_beam.errors import LogprobsUnavailable, MalformedResponse, RequestRejected

MESSAGES = [{"role": "user", "content": "How many?"}]


def read(
    *choices: dict[str, Any],
    usage: Any = None,
    logprobs: bool = False,
    max_tokens: int = 10,
    beam: Beam | None = None,
) -> list[Continuation]:
    """What the dialect makes of a response with these choices."""
    dialect = OpenAI("m", "chat", Limits())
    prepare = dialect.prepare(check_prompt(MESSAGES))
    with pytest.raises(StopIteration) as prepared:
        next(prepare)
    request = SampleRequest(
        beam=beam or Beam(),
        n=len(choices),
        max_tokens=max_tokens,
        temperature=1.0,
        top_logprobs=0,
        seed=None,
        logprobs=logprobs,
    )
    exchange = dialect.sample(prepared.value.value, request)
    wire = next(exchange)
    assert ("logprobs" in json.loads(wire.body or b"")) is logprobs
    body = {"choices": list(choices), "usage": usage}
    with pytest.raises(StopIteration) as done:
        exchange.send(wire.decode(json.dumps(body).encode()))
    return list(done.value.value.continuations)


def message(finish: str = "stop", **fields: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", **fields}, "finish_reason": finish}


SHAPES = {
    "DeepSeek, vLLM, SGLang, llama.cpp": message(content="9", reasoning_content="hm"),
    "OpenRouter, newer vLLM": message(content="9", reasoning="hm"),
    "both names": message(content="9", reasoning="hm", reasoning_content="hm"),
    "Ollama": message(content="9", thinking="hm"),
    "Mistral": message(
        content=[
            {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
            {"type": "text", "text": "9"},
        ]
    ),
    "parts": message(content=[{"type": "reasoning", "text": "hm"}, {"type": "text", "text": "9"}]),
    "in the text": message(content="<think>\nhm\n</think>\n\n9"),
    "opened by the template": message(content="hm\n</think>\n\n9"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_thinking_and_answer_are_kept_apart(shape: str) -> None:
    (block,) = read(SHAPES[shape], usage={"completion_tokens": 4})
    beam = Beam().extend(block)
    assert (beam.reasoning, beam.text) == ("hm", "9")
    assert (beam.logprob, beam.length, beam.finished) == (None, 4, True)
    assert beam.exact


def test_cut_off_in_the_thinking_is_no_answer() -> None:
    cases = [
        message("length", content=None, reasoning_content="hm"),
        message("length", content="<think>hm"),
    ]
    for case in cases:
        beam = Beam().extend(read(case, usage={"completion_tokens": 10})[0])
        assert (beam.reasoning, beam.text, beam.unanswered) == ("hm", "", True)


def test_hidden_thinking() -> None:
    usage = {"completion_tokens": 10, "completion_tokens_details": {"reasoning_tokens": 10}}
    beam = Beam().extend(read(message("length", content=""), usage=usage)[0])
    assert (beam.text, beam.reasoning, beam.unanswered, beam.length) == ("", "", True, 10)


def test_tokens_without_text_or_thinking_are_an_error() -> None:
    with pytest.raises(MalformedResponse, match="no text"):
        read(message("length", content=""), usage={"completion_tokens": 10})
    with pytest.raises(MalformedResponse, match="tool_calls"):
        read(message("tool_calls", content=None, tool_calls=[{"id": "1"}]))


def test_thinking_apart_cannot_be_continued() -> None:
    (block,) = read(message("length", content=None, reasoning_content="hm"))
    with pytest.raises(RequestRejected, match="single block"):
        read(message(content="9"), beam=Beam().extend(block))


def scored(*tokens: str) -> dict[str, Any]:
    return {"content": [{"token": token, "logprob": -1.0} for token in tokens]}


@pytest.mark.parametrize(
    ("tokens", "exact"),
    [
        (["<think>", "\n", "hm", "\n", "</think>", "\n\n", "9", "<|im_end|>"], True),
        (["hm", "</think>", "9", ""], True),
        (["9", ""], False),  # the thinking has no log-probabilities
    ],
)
def test_log_probabilities_of_thinking_and_answer(tokens: list[str], exact: bool) -> None:
    choice = message(content="9", reasoning_content="hm") | {"logprobs": scored(*tokens)}
    (block,) = read(choice, logprobs=True)
    beam = Beam().extend(block)
    assert (beam.reasoning, beam.text, beam.finish_reason) == ("hm", "9", "stop")
    assert (beam.logprob, beam.exact) == (-float(len(tokens)), exact)


def test_log_probabilities_of_another_text_are_refused() -> None:
    choice = message(content="9", reasoning_content="hm") | {"logprobs": scored("so", "8")}
    with pytest.raises(LogprobsUnavailable, match="do not belong"):
        read(choice, logprobs=True)


def test_the_count_of_several_choices_is_divided() -> None:
    choices = [message(content="9" * 4), message(content="9" * 12), message("length", content="9")]
    for number, choice in enumerate(choices):
        choice["index"] = number
    blocks = read(*choices, usage={"completion_tokens": 18})
    assert [len(block) for block in blocks] == [2, 6, 10]
    assert sum(block.generated for block in blocks) == 18
    # Some servers count one choice only.
    assert [len(block) for block in read(*choices, usage={"completion_tokens": 1})] == [1, 3, 10]


def test_equal_texts_are_equal_and_others_are_not() -> None:
    choices = [message(content=text, reasoning=thought) for text, thought in ("9a", "9a", "9b")]
    for number, choice in enumerate(choices):
        choice["index"] = number
    first, second, third = (Beam().extend(block) for block in read(*choices))
    assert first.same_tokens(second)
    assert not first.same_tokens(third)


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=8),
    name=st.sampled_from(["reasoning_content", "reasoning"]),
)
def test_no_split_of_a_stream_changes_them(sizes: list[int], name: str) -> None:
    deltas: list[dict[str, Any]] = []
    for field, text in ((name, "thinking of é"), ("content", "the answer: 9")):
        start = 0
        for size in [*sizes, len(text)]:
            deltas.append({field: text[start : start + size]})
            start += size
    events = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    completion = decoder(top=False, stream=True, n=1)(body.encode())
    assert completion.choices
    choice = completion.choices[0]
    assert (choice.thought, choice.content) == ("thinking of é", "the answer: 9")
