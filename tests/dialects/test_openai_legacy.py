"""Completions whose log-probabilities come as parallel arrays (vLLM, llama-cpp-python)."""

from __future__ import annotations

import pytest

from tests.dialects.replay import ask, capture, encode, only, read
from trio_beam.core.block import Token
from trio_beam.errors import (
    EndpointError,
    LogprobsUnavailable,
    MalformedResponse,
    RequestRejected,
    ServerError,
)

LEGACY = [
    "vllm__completions_logprobs",
    "vllm__continuation_ids_1",
    "vllm__completions_utf8_mt1",
    "llamacpppython0260__completions_logprobs",
    "llamacpppython0260__completions_utf8_mt2",
]


@pytest.mark.parametrize("case", LEGACY)
def test_a_whole_block_is_read(case: str) -> None:
    recorded = capture(case)
    choice = recorded.answer()["choices"][0]
    continuation = only(ask(recorded).value)
    assert [token.text for token in continuation.tokens] == choice["logprobs"]["tokens"]
    logprobs = [token.logprob for token in continuation.tokens]
    assert logprobs == choice["logprobs"]["token_logprobs"]
    assert continuation.logprob == pytest.approx(sum(logprobs))
    assert continuation.data == choice["text"].encode()
    assert continuation.finish_reason == "length"
    assert continuation.generated == len(continuation.tokens)
    assert continuation.exact


@pytest.mark.parametrize(
    ("case", "counted"),
    [("vllm__completions_logprobs", 4), ("llamacpppython0260__completions_logprobs", 5)],
)
def test_prompt_tokens_are_the_servers_count(case: str, counted: int) -> None:
    assert read(case).prompt_tokens == counted


def test_without_usage_the_tokens_are_counted() -> None:
    recorded = capture("vllm__completions_logprobs")
    answer = recorded.answer()
    del answer["usage"]
    read_answer = ask(recorded, encode(answer)).value
    assert read_answer.prompt_tokens == 0
    assert only(read_answer).generated == 3


def test_end_of_text_counts_in_the_score_and_adds_no_text() -> None:
    continuation = only(read("vllm__completions_eos"))
    assert continuation.finish_reason == "stop"
    assert continuation.data == b"The answer is 5."
    assert len(continuation.tokens) == continuation.generated == 7
    assert continuation.tokens[-1].data == b""
    assert continuation.tokens[-1].logprob == -0.8141375780105591
    assert continuation.logprob == pytest.approx(-4.7459, abs=1e-3)
    assert continuation.exact


def test_only_at_an_end_is_a_token_no_text() -> None:
    """Elsewhere, a token that is missing in the text is a text that is not what the tokens spell."""
    recorded = capture("vllm__completions_eos")
    answer = recorded.answer()
    answer["choices"][0]["finish_reason"] = "length"
    continuation = only(ask(recorded, encode(answer), max_tokens=7).value)
    assert continuation.tokens[-1].text == "<|im_end|>"
    assert continuation.data == b"The answer is 5."
    assert not continuation.exact


def test_no_reason_for_the_end_is_none_to_stop() -> None:
    recorded = capture("vllm__completions_logprobs")
    answer = recorded.answer()
    answer["choices"][0]["finish_reason"] = None
    assert only(ask(recorded, encode(answer)).value).finish_reason == "length"


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("content_filter", RequestRejected),
        ("SAFETY", RequestRejected),
        ("error", ServerError),
        ("insufficient_system_resource", ServerError),
    ],
)
def test_a_reason_that_is_a_failure(reason: str, kind: type[EndpointError]) -> None:
    recorded = capture("vllm__completions_logprobs")
    answer = recorded.answer()
    answer["choices"][0]["finish_reason"] = reason
    with pytest.raises(kind, match=reason):
        ask(recorded, encode(answer))


def test_end_of_text_alone_is_a_block() -> None:
    recorded = capture("vllm__completions_eos")
    answer = recorded.answer()
    choice = answer["choices"][0]
    choice["text"] = ""
    for name, row in choice["logprobs"].items():
        choice["logprobs"][name] = row[-1:]
    continuation = only(ask(recorded, encode(answer)).value)
    assert continuation.data == b""
    assert continuation.logprob == -0.8141375780105591
    assert continuation.finish_reason == "stop"


@pytest.mark.parametrize("asked", [0, 1, 2])
def test_alternatives_are_the_best_and_as_many_as_asked_for(asked: int) -> None:
    # vLLM sends 3 for the second token where 2 were asked for: the sampled one is added.
    tokens = only(read("vllm__completions_logprobs", top_logprobs=asked)).tokens
    assert [len(token.top) for token in tokens] == [asked] * 3
    best = (Token(" the", -1.7801817655563354), Token(" a", -2.217681884765625))
    assert tokens[1].top == best[:asked]


def test_twenty_alternatives() -> None:
    top = only(read("vllm__completions_logprobs_20")).tokens[0].top
    assert len(top) == 20
    assert [token.logprob for token in top] == sorted((t.logprob for t in top), reverse=True)


def test_choices_are_put_in_the_order_of_their_indices() -> None:
    recorded = capture("vllm__completions_n3_seed")
    answer = recorded.answer()
    texts = [choice["text"] for choice in answer["choices"]]
    answer["choices"] = [answer["choices"][place] for place in (2, 0, 1)]
    read_answer = ask(recorded, encode(answer)).value
    assert [c.data.decode() for c in read_answer.continuations] == texts
    # The count that the server gives is that of all three together.
    assert [c.generated for c in read_answer.continuations] == [8, 8, 8]
    assert read_answer.prompt_tokens == 4


def test_choices_that_were_not_asked_for_are_malformed() -> None:
    with pytest.raises(MalformedResponse, match="3 choices, where 2 were asked for"):
        read("vllm__completions_n3_seed", n=2)


def test_a_prompt_that_is_echoed_has_no_first_log_probability() -> None:
    with pytest.raises(LogprobsUnavailable):
        read("vllm__completions_echo")


def test_no_choices_are_malformed() -> None:
    with pytest.raises(MalformedResponse):
        ask(capture("vllm__completions_logprobs"), encode({"choices": []}))


@pytest.mark.parametrize("name", ["tokens", "token_logprobs"])
def test_arrays_of_unequal_lengths_are_malformed(name: str) -> None:
    recorded = capture("vllm__completions_logprobs")
    answer = recorded.answer()
    answer["choices"][0]["logprobs"][name].pop()
    with pytest.raises(MalformedResponse):
        ask(recorded, encode(answer))


def test_no_token_is_lost_where_alternatives_are_missing() -> None:
    """A token that is left out costs nothing, so its block would score too high."""
    recorded = capture("vllm__completions_logprobs")
    answer = recorded.answer()
    answer["choices"][0]["logprobs"]["top_logprobs"].pop()
    try:
        continuation = only(ask(recorded, encode(answer)).value)
    except MalformedResponse:
        return  # refusing the answer is as good
    assert len(continuation.tokens) == 3


@pytest.mark.parametrize(
    ("case", "text", "tokens"),
    [
        ("vllm__completions_utf8_mt3", "\n\n", 3),
        ("vllm__completions_utf8_mt5", "\n\n🦜", 5),
        ("vllm__completions_utf8_mt7", "\n\n🦜", 7),
    ],
)
def test_vllm_leaves_out_a_character_cut_at_the_end(case: str, text: str, tokens: int) -> None:
    """Its bytes are missing, but every token has its log-probability."""
    recorded = capture(case)
    continuation = only(ask(recorded).value)
    assert continuation.data == text.encode()
    assert len(continuation.tokens) == tokens
    logprobs = recorded.answer()["choices"][0]["logprobs"]["token_logprobs"]
    assert continuation.logprob == pytest.approx(sum(logprobs))
