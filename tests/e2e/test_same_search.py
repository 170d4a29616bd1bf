"""The same search by other ways on a real server: what the contract says is equal is equal."""

from __future__ import annotations

from typing import Any

import attrs
import httpx
import pytest
import trio

from trio_beam import BeamSearchConfig, Endpoint, SearchResult, beam_search
from trio_beam.core.prompt import PromptLike

CONFIG = BeamSearchConfig(
    beam_width=2, n_per_beam=2, tokens_per_step=4, max_tokens=8, seed=3, early_stopping=False
)
PROMPTS: dict[str, PromptLike] = {
    "a text": "Once upon a time",
    "a chat": [{"role": "user", "content": "Say yes."}],
    "cut characters": "Repeat: 🦜🫠漢字 🦜🫠漢字 🦜🫠漢字 🦜🫠",
}
WAYS: dict[str, dict[str, Any]] = {
    "streamed": {"stream": True},
    "one choice a request": {"max_n": 1},
    "one after the other": {"max_concurrent": 1},
    "named": {"dialect": "llama_cpp", "model": "any"},
}
TEXT_WAYS = {name: way for name, way in WAYS.items() if name != "named"}


async def find(base_url: str, prompt: PromptLike, **options: Any) -> SearchResult:
    config = options.pop("config", CONFIG)
    with trio.fail_after(120):
        async with Endpoint(base_url, **options) as endpoint:
            return await beam_search(endpoint, prompt, config)


def assert_same(one: SearchResult, other: SearchResult) -> None:
    assert one.text == other.text
    assert [beam.text for beam in one.beams] == [beam.text for beam in other.beams]
    for beam, twin in zip(one.beams, other.beams, strict=True):
        assert [token.key for token in beam.tokens] == [token.key for token in twin.tokens]
        logprobs = [token.logprob for token in twin.tokens]
        assert [token.logprob for token in beam.tokens] == pytest.approx(logprobs, abs=1e-3)
        assert beam.score == pytest.approx(twin.score, abs=1e-3)
    assert one.exact == other.exact


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS.keys())
async def test_by_token_ids_every_way_is_the_same(own_base_url: str, prompt: PromptLike) -> None:
    usual = await find(own_base_url, prompt)
    assert usual.exact
    for options in WAYS.values():
        assert_same(await find(own_base_url, prompt, **options), usual)


@pytest.mark.parametrize("prompt", [PROMPTS["a text"], PROMPTS["a chat"]], ids=["text", "chat"])
async def test_by_text_every_way_is_the_same(own_base_url: str, prompt: PromptLike) -> None:
    usual = await find(own_base_url, prompt, dialect="openai")
    assert not usual.exact
    for options in TEXT_WAYS.values():
        other = await find(own_base_url, prompt, dialect="openai", **options)
        assert other.text == usual.text
        assert not other.exact


async def test_a_client_of_ones_own_changes_nothing(own_base_url: str) -> None:
    usual = await find(own_base_url, "Once upon a time")
    async with httpx.AsyncClient() as client:
        assert_same(await find(own_base_url, "Once upon a time", http_client=client), usual)


@pytest.mark.parametrize(
    "prompt",
    [
        "Repeat: 🦜🫠漢字 🦜🫠漢字 🦜🫠漢字 🦜🫠",
        "从前有一座山,山里有一座",
        "e\u0301 a\u0308 o\u0302 e\u0301 a\u0308 o\u0302 e\u0301",
    ],
    ids=["emoji", "Chinese", "combining marks"],
)
async def test_every_block_length_gives_the_same_text(own_base_url: str, prompt: str) -> None:
    """The most probable token each time: the blocks only say where the text is cut."""
    config = attrs.evolve(CONFIG, beam_width=1, n_per_beam=1, proposal_temperature=0, max_tokens=12)
    texts = set()
    for block in (1, 2, 3, 5, 8):
        for stream in (False, True) if block in (1, 3) else (False,):
            result = await find(
                own_base_url,
                prompt,
                config=attrs.evolve(config, tokens_per_step=block),
                stream=stream,
            )
            assert result.exact
            assert result.beams[0].length == 12 or result.beams[0].ended
            texts.add(result.text)
    assert len(texts) == 1
    assert texts != {""}
