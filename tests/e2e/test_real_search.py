"""The whole thing on a real model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from tests.e2e.conftest import SLOTS, served
from tests.e2e.scoring import score
from trio_beam import (
    BeamSearchConfig,
    BeamSearchSampling,
    Endpoint,
    beam_search,
    beam_search_within,
)
from trio_beam.core.block import known

CONFIG = BeamSearchConfig(
    beam_width=3, n_per_beam=2, tokens_per_step=6, max_tokens=18, seed=11, top_logprobs=2
)
PROMPTS = {
    "english": "Once upon a time",
    "a prompt that ends in a space": "Dear Sir: ",
    "emoji and Chinese": "Repeat: 🦜🫠漢字 🦜🫠漢字 🦜🫠",
}


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS.keys())
async def test_scores_are_what_the_server_gives_when_it_scores_again(
    base_url: str, prompt: str
) -> None:
    with trio.fail_after(120):
        async with Endpoint(base_url) as endpoint:
            result = await beam_search(endpoint, prompt, CONFIG)
        assert result.exact
        for beam in result.beams[:2]:
            ids = [token.id for token in beam.tokens if token.id is not None]
            assert len(ids) == len(beam.tokens) == beam.length
            again = await score(base_url, prompt, ids)
            assert [token.logprob for token in beam.tokens] == pytest.approx(again, abs=1e-3)
            assert beam.logprob == pytest.approx(sum(again), abs=1e-3)
            assert beam.score == pytest.approx(4 * known(beam.logprob) / beam.length**0.6)
            assert beam.text == b"".join(t.bytes or b"" for t in beam.tokens).decode(
                "utf-8", "replace"
            )
            assert all(len(token.top) == 2 for token in beam.tokens)


async def test_the_same_seed_gives_the_same_result(base_url: str) -> None:
    with trio.fail_after(120):
        async with Endpoint(base_url) as endpoint:
            one = await beam_search(endpoint, "The old house", CONFIG)
            two = await beam_search(endpoint, "The old house", CONFIG)
            assert 0 < (two.usage.cached_tokens or 0) < two.usage.prompt_tokens
            other = await beam_search(endpoint, "The old house", attrs.evolve(CONFIG, seed=12))
        async with Endpoint(base_url, max_concurrent=1, max_n=1) as endpoint:
            split = await beam_search(endpoint, "The old house", CONFIG)
    assert one.text == two.text == split.text != other.text
    assert one.score == pytest.approx(two.score, abs=1e-3)
    assert one.score == pytest.approx(split.score, abs=1e-3)


async def test_a_chat_goes_through_the_models_template(embedded_url: str) -> None:
    messages = [{"role": "user", "content": "What is 2+3? Answer briefly."}]
    with trio.fail_after(120):
        async with Endpoint(embedded_url) as endpoint:
            result = await beam_search(endpoint, messages, attrs.evolve(CONFIG, tokens_per_step=3))
    assert result.stop_reason == "finished"
    assert result.beams[0].finished
    assert result.beams[0].finish_reason == "stop"
    # The end-of-text token counts in the score and adds nothing to the text.
    assert result.beams[0].tokens[-1].text == ""
    assert result.beams[0].tokens[-1].logprob < 0
    assert "<|im_" not in result.text


async def test_what_auto_finds_out(base_url: str) -> None:
    config = attrs.evolve(CONFIG, beam_width=4, n_per_beam=3, max_tokens=6)
    with trio.fail_after(120):
        async with Endpoint(base_url) as endpoint:
            result = await beam_search(endpoint, "Once", config)
            assert endpoint.model == "SmolLM2-135M-Instruct"
    # /models, /props, and the twelve continuations of round 1 by no more than there are slots.
    assert result.usage.requests == 2 + 12 / SLOTS
    assert result.usage.completion_tokens == 12 * 6


async def test_a_named_server_teaches_its_limit_by_a_refusal(base_url: str) -> None:
    config = attrs.evolve(CONFIG, beam_width=4, n_per_beam=3, max_tokens=6)
    with trio.fail_after(120):
        async with Endpoint(base_url, dialect="llama_cpp", model="any") as endpoint:
            result = await beam_search(endpoint, "Once", config)
    assert result.usage.requests == 1 + 12 / SLOTS
    assert result.usage.retries == 0


@pytest.mark.parametrize("prompt", ["Once upon a time", [{"role": "user", "content": "Hi!"}]])
async def test_the_openai_protocol_on_the_same_server(
    base_url: str, prompt: str | list[dict[str, str]]
) -> None:
    with trio.fail_after(120):
        async with Endpoint(base_url, dialect="openai") as endpoint:
            result = await beam_search(endpoint, prompt, attrs.evolve(CONFIG, early_stopping=False))
    assert result.rounds == 3
    assert not result.exact
    assert result.text
    assert result.beams[0].text == "".join(token.text for token in result.beams[0].tokens)


async def test_a_stop_string_is_cut_on_our_side(embedded_url: str) -> None:
    with trio.fail_after(120):
        async with Endpoint(embedded_url) as endpoint:
            config = attrs.evolve(CONFIG, stop=(",",), early_stopping=False, beam_width=6)
            result = await beam_search(endpoint, "Once upon a time there was", config)
    stopped = [beam for beam in result.beams if beam.finished]
    assert stopped
    for beam in stopped:
        assert "," not in beam.text
        assert "," in beam.tokens[-1].text or not beam.tokens[-1].text


@pytest.fixture
def of_256_tokens(short_model: Path) -> Iterator[str]:
    """A server whose context is full soon."""
    with served(short_model, slots=1, context=256) as url:
        yield url


async def test_a_beam_that_fills_the_context_ends(of_256_tokens: str) -> None:
    config = attrs.evolve(CONFIG, beam_width=1, n_per_beam=1, max_tokens=60, tokens_per_step=30)
    with trio.fail_after(120):
        async with Endpoint(of_256_tokens) as endpoint:
            result = await beam_search(endpoint, "word " * 230, config)
    assert result.stop_reason == "finished"
    assert result.beams[0].finish_reason == "context"
    assert not result.beams[0].finished
    assert 0 < result.beams[0].length < 60


async def test_a_deadline_on_a_real_server(base_url: str) -> None:
    config = attrs.evolve(CONFIG, max_tokens=900, tokens_per_step=8, early_stopping=False)
    with trio.fail_after(120):
        async with Endpoint(base_url) as endpoint:
            result = await beam_search_within(2, endpoint, "Once upon a time", config)
            assert endpoint.statistics().in_flight == 0
            assert result.stop_reason == "deadline"
            assert result.text
            # The server is still good for another search.
            assert (await beam_search(endpoint, "Once", CONFIG)).text
        assert endpoint.statistics().open_connections == 0


def test_the_originals_interface(base_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    class Client:
        api_key = "none"
        default_model = "SmolLM2-135M-Instruct"

        def __init__(self) -> None:
            self.base_url = base_url

    strategy = BeamSearchSampling(tokens_per_step=8, debug=True, seed=5)
    text, prompt_tokens, completion_tokens = strategy.generate(Client(), "Once upon a time", 16)
    assert text
    assert prompt_tokens > 0
    assert completion_tokens == 4 * 8 + 4 * 8
    assert "[BeamSearch] Block 2/2: 2 active, 0 completed" in capsys.readouterr().out


async def test_an_override_of_the_original_is_continued_by_text(embedded_url: str) -> None:
    """llama.cpp's own call wants token ids, which a text that somebody has changed does not have."""

    class Shouting(BeamSearchSampling):
        async def _sample_continuation_multiple_async(self, *args: Any, **kwargs: Any) -> Any:
            samples, *tokens = await super()._sample_continuation_multiple_async(*args, **kwargs)
            return [(text.upper(), *rest) for text, *rest in samples], *tokens

    with trio.fail_after(120):
        async with Endpoint(embedded_url) as endpoint:
            strategy = Shouting(tokens_per_step=4, seed=5)
            text, _, _ = await strategy._generate_async(endpoint, "What is the capital?", 12)
            assert text == text.upper() != ""
            samples, _, _ = await BeamSearchSampling(seed=5)._sample_continuation_multiple_async(
                endpoint, "What is the capital of France?", "The capital of France is", 2, 2
            )
            assert any("Paris" in sample.text for sample in samples)
            assert endpoint.statistics().in_flight == 0
