"""llama.cpp's own call: tokens with ids and bytes, one object or a list of them."""

from __future__ import annotations

import pytest

from tests.dialects.replay import ask, capture, encode, only, read, sent
from trio_beam.core.block import Token
from trio_beam.errors import LogprobsUnavailable, MalformedResponse


@pytest.mark.parametrize("top", [0, 1])
@pytest.mark.parametrize(
    ("case", "text"),
    [("xllamacpp__native_completion", b", I've"), ("xllamacpp__native_eos", b"2 + 3 = 5")],
)
def test_a_whole_block_is_read(case: str, text: bytes, top: int) -> None:
    recorded = capture(case)
    answer = recorded.answer()
    entries = answer["completion_probabilities"]
    continuation = only(ask(recorded, top_logprobs=top).value)
    assert [token.id for token in continuation.tokens] == answer["tokens"]
    assert [token.text for token in continuation.tokens] == [entry["token"] for entry in entries]
    assert [token.bytes for token in continuation.tokens] == [bytes(e["bytes"]) for e in entries]
    assert continuation.logprob == pytest.approx(sum(entry["logprob"] for entry in entries))
    assert [len(token.top) for token in continuation.tokens] == [top] * len(entries)
    assert continuation.data == text
    assert continuation.exact
    assert continuation.generated == len(entries)


def test_an_alternative_need_not_be_the_sampled_token() -> None:
    tokens = only(read("xllamacpp__native_completion")).tokens
    assert tokens[1].id == 339
    assert tokens[1].top == (Token(" the", -1.8001620769500732, 260, b" the"),)


def test_no_more_alternatives_than_asked_for() -> None:
    recorded = capture("xllamacpp__native_completion")
    answer = recorded.answer()
    for entry in answer["completion_probabilities"]:
        entry["top_logprobs"] *= 3
    tokens = only(ask(recorded, encode(answer), top_logprobs=2).value).tokens
    assert [len(token.top) for token in tokens] == [2, 2, 2]


@pytest.mark.parametrize(
    ("case", "counted"), [("xllamacpp__native_completion", 4), ("xllamacpp__native_eos", 40)]
)
def test_prompt_tokens_are_the_servers_count(case: str, counted: int) -> None:
    assert read(case).prompt_tokens == counted


def test_end_of_text_counts_in_the_score_and_adds_no_text() -> None:
    continuation = only(read("xllamacpp__native_eos"))
    assert continuation.finish_reason == "stop"
    assert continuation.tokens[-1][:4] == ("", -0.10608354210853577, 2, b"")


def test_several_choices_are_a_list_in_the_order_of_their_indices() -> None:
    recorded = capture("xllamacpp__native_n_cmpl2_fields")
    replayed = ask(recorded, encode(recorded.answer()[::-1]))
    (request,) = replayed.requests
    assert sent(request)["n_cmpl"] == 2
    texts = [continuation.data for continuation in replayed.value.continuations]
    assert texts == [b", I've seen", b", the town had"]


def test_choices_that_were_not_asked_for_are_malformed() -> None:
    with pytest.raises(MalformedResponse, match="2 choices, where 1 were asked for"):
        read("xllamacpp__native_n_cmpl2_fields", n=1)


def test_fewer_choices_than_asked_for_are_a_lesson() -> None:
    recorded = capture("xllamacpp__native_completion")
    dialect = recorded.dialect()
    first = ask(recorded, dialect=dialect, n=3)
    assert len(first.value.continuations) == 1
    (request,) = ask(recorded, dialect=dialect, n=3).requests
    assert "n_cmpl" not in sent(request)


def test_no_choices_are_malformed() -> None:
    with pytest.raises(MalformedResponse):
        ask(capture("xllamacpp__native_completion"), b"[]")


@pytest.mark.parametrize(
    ("changes", "asked", "reason"),
    [
        ({}, 3, "length"),
        ({}, 20, "context"),  # the server stopped short without an end of text
        ({"truncated": True}, 3, "context"),
        ({"stop_type": "eos"}, 3, "stop"),
        ({"stop_type": "eos"}, 20, "stop"),
        ({"stop_type": "eos", "truncated": True}, 20, "stop"),
    ],
)
def test_the_reason_for_the_end(changes: dict[str, object], asked: int, reason: str) -> None:
    recorded = capture("xllamacpp__native_completion")
    body = encode(recorded.answer() | changes)
    continuation = only(ask(recorded, body, max_tokens=asked).value)
    assert continuation.finish_reason == reason
    assert len(continuation.tokens) == 3


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_entry_of_another_token_is_malformed(place: int) -> None:
    recorded = capture("xllamacpp__native_completion")
    answer = recorded.answer()
    answer["completion_probabilities"][place]["id"] = 4711
    with pytest.raises(MalformedResponse):
        ask(recorded, encode(answer))


def test_more_entries_than_tokens_are_malformed() -> None:
    recorded = capture("xllamacpp__native_completion")
    answer = recorded.answer()
    answer["tokens"].pop()
    with pytest.raises(MalformedResponse):
        ask(recorded, encode(answer))


@pytest.mark.parametrize("missing", [slice(4), slice(2, 6), slice(-4, None), slice(None)])
def test_more_silent_tokens_than_a_character_has(missing: slice) -> None:
    """That is a server without log-probabilities: nothing is asked for again."""
    recorded = capture("xllamacpp__native_eos")
    answer = recorded.answer()
    del answer["completion_probabilities"][missing]
    with pytest.raises(LogprobsUnavailable):
        ask(recorded, encode(answer))
