"""Counts of cached, written, thought and charged tokens, as servers spell them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.json import encode

from trio_beam.dialects import llama_cpp_wire, openai_wire
from trio_beam.dialects.common.usage_counts import (
    cached_tokens,
    charged_tokens,
    reasoning_tokens,
    written_tokens,
)


@pytest.mark.parametrize(
    ("usage", "cached"),
    [
        (
            {"prompt_tokens_details": {"cached_tokens": 3}},
            3,
        ),  # OpenAI, vLLM, llama.cpp, SGLang, xAI
        ({"prompt_tokens_details": None}, None),  # vLLM without --enable-prompt-tokens-details
        ({"input_tokens_details": {"cached_tokens": 3}}, 3),
        ({"prompt_cache_hit_tokens": 3, "prompt_cache_miss_tokens": 4}, 3),  # DeepSeek
        ({"cached_tokens": 3}, 3),  # Moonshot
        ({"cache_read_input_tokens": 3}, 3),  # LiteLLM before Anthropic
        ({"prompt_tokens_details": {"cached_tokens": 0}, "cached_tokens": 3}, 0),
        (None, None),
        ("none", None),
    ],
)
def test_cached(usage: Any, cached: int | None) -> None:
    assert cached_tokens(usage) == cached


def test_written() -> None:
    assert written_tokens({"prompt_tokens_details": {"cache_write_tokens": 4}}) == 4  # OpenRouter
    assert written_tokens({"cache_creation_input_tokens": 4}) == 4
    assert written_tokens({"prompt_tokens": 4}) == 0


def test_thought() -> None:
    assert reasoning_tokens({"completion_tokens_details": {"reasoning_tokens": 5}}) == 5
    assert reasoning_tokens({"reasoning_tokens": 5}) == 5
    assert reasoning_tokens({"completion_tokens": 5}) is None


@pytest.mark.parametrize(
    ("usage", "charged"),
    [
        ({"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}, 5),
        (
            {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 20},
            13,
        ),  # xAI, Gemini: thinking
        ({"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 0}, 5),
        ({"completion_tokens": 5}, 5),
        ({}, 0),
    ],
)
def test_charged(usage: dict[str, Any], charged: int) -> None:
    assert charged_tokens(usage) == charged


def test_a_stream_has_the_counts_of_its_last_event_or_of_each_choice() -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 3}}
    own = [
        {"choices": [{"index": index, "text": "a", "finish_reason": "length"}]}
        | {"usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9} | details}
        for index in range(2)
    ]
    chunks = [openai_wire._chunk_without_top(encode(one)) for one in own]
    usage = openai_wire.join_chunks(chunks, done=True, n=2).usage
    assert (cached_tokens(usage), charged_tokens(usage), usage["prompt_tokens"]) == (3, 4, 7)


def test_llama_cpp_tells_what_was_in_its_cache() -> None:
    body = encode({"tokens": [1], "tokens_evaluated": 9, "timings/cache_n": 8})
    completion = llama_cpp_wire._decode_without_top(body)
    assert completion.cached == 8
