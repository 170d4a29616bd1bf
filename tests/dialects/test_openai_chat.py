"""Chat completions: the three servers' shapes, and the assistant's text that is continued."""

from __future__ import annotations

import json

import pytest

from tests.dialects.replay import Capture, ask, beam_of, capture, encode, only, read, sent
from trio_beam.dialects.openai_wire import decoder
from trio_beam.errors import LogprobsUnavailable, RequestRejected


@pytest.mark.parametrize(
    ("case", "text", "ids"),
    [
        ("vllm__chat_logprobs", "The number of", [None, None, None]),
        ("xllamacpp__chat_logprobs", "2 + 3", [34, 1232, 216, 35]),
        ("llamacpppython0260__chat_logprobs", "The answer would", [None, None, None]),
    ],
)
def test_a_whole_block_is_read(case: str, text: str, ids: list[int | None]) -> None:
    continuation = only(read(case))
    assert continuation.data == text.encode()
    assert b"".join(token.data for token in continuation.tokens) == text.encode()
    assert [token.id for token in continuation.tokens] == ids
    assert all(token.logprob < 0 for token in continuation.tokens)
    assert all(len(token.top) == 2 for token in continuation.tokens)
    assert continuation.exact
    assert continuation.finish_reason == "length"


def test_two_choices_that_end() -> None:
    answer = read("vllm__chat_n2")
    assert [c.data.decode() for c in answer.continuations] == [
        'The number of "Two" comes after "Three".',
        "2+3 equals 5.",
    ]
    assert [len(c.tokens) for c in answer.continuations] == [12, 8]
    assert [c.tokens[-1].data for c in answer.continuations] == [b"", b""]
    assert [c.finish_reason for c in answer.continuations] == ["stop", "stop"]
    assert answer.prompt_tokens == 40


@pytest.mark.parametrize(
    "case",
    [
        "transformersserve__chat_logprobs",
        "llamacpppython0260__chat_prefill",
        "xllamacpp__chat_prefill_explicit",
    ],
)
def test_a_message_without_log_probabilities(case: str) -> None:
    with pytest.raises(LogprobsUnavailable):
        read(case)


@pytest.mark.parametrize(
    ("case", "new", "tokens"),
    [
        ("vllm__chat_prefill_continue", b" 5.", 4),
        ("xllamacpp__chat_prefill", b" 5.", 4),
        ("xllamacpp__chat_prefill_trailing_space", b"5.", 3),
    ],
)
def test_only_what_was_added_comes_back(case: str, new: bytes, tokens: int) -> None:
    """llama.cpp sends the beam's text back in front of what it added, vLLM does not."""
    recorded = capture(case)
    continuation = only(ask(recorded).value)
    assert continuation.data == new
    assert len(continuation.tokens) == tokens
    assert continuation.finish_reason == "stop"
    whole = recorded.beam().extend(continuation)
    assert whole.text == "The sum of 2+3 is 5."
    # The text was cut into tokens anew, and maybe into others.
    assert not continuation.exact


def test_nothing_but_the_end_behind_the_text() -> None:
    recorded = capture("xllamacpp__chat_prefill")
    answer = recorded.answer()
    choice = answer["choices"][0]
    choice["message"]["content"] = "The sum of 2+3 is"
    choice["logprobs"]["content"] = choice["logprobs"]["content"][-1:]
    continuation = only(ask(recorded, encode(answer)).value)
    assert continuation.data == b""
    assert continuation.logprob == -0.19054482877254486


def test_an_addition_that_repeats_the_beam_is_not_taken_for_an_echo() -> None:
    recorded = capture("vllm__chat_prefill_continue")
    assert only(ask(recorded, beam=beam_of(" ")).value).data == b" 5."


def test_an_echo_of_several_blocks() -> None:
    beam = beam_of("The sum", " of 2+3", " is")
    assert only(read("xllamacpp__chat_prefill", beam=beam)).data == b" 5."


def _echo_with_cut_character(prefix: str) -> tuple[Capture, bytes]:
    """No recording has both: the echo is that of one, the cut character that of another."""
    recorded = capture("xllamacpp__chat_prefill")
    answer = recorded.answer()
    choice = answer["choices"][0]
    cut = capture("xllamacpp__completions_utf8_mt5").answer()["choices"][0]
    choice["message"]["content"] = prefix + cut["text"]
    choice["logprobs"] = cut["logprobs"]
    choice["finish_reason"] = "length"
    return recorded, encode(answer)


@pytest.mark.parametrize("prefix", ["The sum of 2+3 is", "漢字", "漢字漢字", "漢"])
def test_an_echo_in_front_of_a_cut_character_is_taken_off(prefix: str) -> None:
    """Also where the model repeats itself."""
    recorded, body = _echo_with_cut_character(prefix)
    continuation = only(ask(recorded, body, beam=beam_of(prefix)).value)
    assert continuation.data.decode() == "漢字"
    assert not continuation.exact


def test_vllm_leaves_out_a_character_cut_at_the_end() -> None:
    continuation = only(read("vllm__chat_utf8"))
    assert continuation.data == "漢字".encode()
    assert len(continuation.tokens) == 5
    assert continuation.logprob == pytest.approx(-2.0652, abs=1e-3)


def test_the_request_is_that_of_the_recording() -> None:
    """The request equals the one that vLLM continued, apart from fields that searches do not use."""
    recorded = capture("vllm__chat_prefill_continue")
    (request,) = ask(recorded).requests
    asked = dict(recorded.asked)
    del asked["return_token_ids"]
    assert request.path == "/chat/completions"
    assert sent(request) == asked | {"top_p": 1}


def test_a_refusal_is_told_in_its_own_words_when_it_was_streamed() -> None:
    deltas = [
        {"role": "assistant", "content": None},
        {"refusal": "I can't"},
        {"refusal": " do it."},
    ]
    events = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    with pytest.raises(RequestRejected) as caught:
        decoder(top=False, stream=True, n=1)(body.encode())
    assert caught.value.message == """the model refused to answer: "I can't do it.\""""
    assert (caught.value.status, caught.value.code) == (200, "refusal")
