"""Completions with a chat-style list of tokens (llama.cpp)."""

from __future__ import annotations

import pytest

from tests.dialects.replay import ask, capture, encode, only, read
from trio_beam.core.block import Token
from trio_beam.errors import LogprobsUnavailable


@pytest.mark.parametrize(
    "case", ["xllamacpp__completions_logprobs", "xllamacpp__score_forced_token_logit_bias"]
)
def test_a_whole_block_is_read(case: str) -> None:
    recorded = capture(case)
    choice = recorded.answer()["choices"][0]
    entries = choice["logprobs"]["content"]
    continuation = only(ask(recorded).value)
    assert [token.id for token in continuation.tokens] == [entry["id"] for entry in entries]
    assert [token.text for token in continuation.tokens] == [entry["token"] for entry in entries]
    assert [token.bytes for token in continuation.tokens] == [bytes(e["bytes"]) for e in entries]
    assert continuation.logprob == pytest.approx(sum(entry["logprob"] for entry in entries))
    assert continuation.data == choice["text"].encode()
    assert continuation.exact
    assert continuation.generated == len(entries)


@pytest.mark.parametrize("asked", [0, 1, 2])
def test_alternatives_have_ids_and_bytes(asked: int) -> None:
    tokens = only(read("xllamacpp__completions_logprobs", top_logprobs=asked)).tokens
    was = Token(" was", -1.7103445529937744, 436, b" was")
    had = Token(" had", -1.7296640872955322, 761, b" had")
    assert tokens[2].top == (was, had)[:asked]


def test_end_of_text_counts_in_the_score_and_adds_no_text() -> None:
    continuation = only(read("xllamacpp__completions_eos"))
    assert continuation.data == b"2 + 3 = 5"
    assert continuation.finish_reason == "stop"
    assert len(continuation.tokens) == 8
    assert continuation.tokens[-1][:4] == ("", -0.10608354210853577, 2, b"")
    assert continuation.logprob == pytest.approx(-2.6523, abs=1e-3)


def test_three_choices() -> None:
    answer = read("xllamacpp__completions_n3_seed")
    assert [c.data.decode()[:12] for c in answer.continuations] == [
        ", I've seen ",
        ", the town h",
        ", a group of",
    ]
    # The server's count is that of the first choice alone.
    assert [c.generated for c in answer.continuations] == [8, 8, 8]


def test_a_full_context_gives_fewer_tokens() -> None:
    continuation = only(read("xllamacpp__err_ctx_plus_max_tokens"))
    assert len(continuation.tokens) == continuation.generated == 7
    # Either word will do: after "length", the next request is refused for its length.
    assert continuation.finish_reason in ("length", "context")


def test_nothing_generated_is_an_empty_block() -> None:
    continuation = only(read("xllamacpp__err_empty_prompt", top_logprobs=0))
    assert (continuation.tokens, continuation.data) == ((), b"")
    assert continuation.logprob == 0
    assert continuation.generated == 0


def test_a_token_without_a_word_of_it_is_missing() -> None:
    """An empty block whose tokens are known to be none is exact; this one had one."""
    assert only(read("xllamacpp__err_empty_prompt", top_logprobs=0)).exact
    recorded = capture("xllamacpp__completions_n2_stop")
    whole = recorded.answer()
    alone = encode(whole | {"choices": whole["choices"][:1]})
    continuation = only(ask(recorded, alone, n=1).value)
    assert (continuation.tokens, continuation.generated) == ((), 1)
    assert not continuation.exact


@pytest.mark.parametrize(
    "case",
    [
        "xllamacpp__completions_logprobs_0",
        "transformersserve__completions_logprobs",
        "llamacpppython0260__chat_n2",
    ],
)
def test_a_text_without_log_probabilities(case: str) -> None:
    with pytest.raises(LogprobsUnavailable):
        read(case)


def test_a_token_without_its_log_probability() -> None:
    recorded = capture("xllamacpp__completions_logprobs")
    answer = recorded.answer()
    answer["choices"][0]["logprobs"]["content"][1]["logprob"] = None
    with pytest.raises(LogprobsUnavailable):
        ask(recorded, encode(answer))


def test_probabilities_after_sampling_are_no_log_probabilities() -> None:
    with pytest.raises(LogprobsUnavailable):
        read("xllamacpp__completions_post_sampling_1.0")
