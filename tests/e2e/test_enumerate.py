"""Classical beam search on the real model: its next tokens are the server's own most probable ones."""

from __future__ import annotations

import httpx
import pytest
import trio

from tests.e2e.bare import bare_client
from trio_beam import BeamSearchConfig, Endpoint, LogprobsUnavailable, SearchFailed, beam_search

CONFIG = BeamSearchConfig(
    proposal="enumerate",
    tokens_per_step=1,
    max_tokens=4,
    beam_width=3,
    n_per_beam=3,
    alpha=1,
    use_length_penalty=False,
    early_stopping=False,
)


async def classical(base_url: str, prompt: str) -> list[tuple[tuple[int, ...], float]]:
    """The same search, by bare requests."""
    beams: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    async with bare_client(base_url, timeout=60) as client:
        for _ in range(CONFIG.max_tokens):
            found = []
            for ids, total in beams:
                # A line feed is forced, so that there are alternatives whatever would be sampled.
                fields = {"n_predict": 1, "n_probs": 12, "logit_bias": [[198, 1000]]}
                body = {"prompt": [prompt, *ids], **fields}
                answer = (await client.post("/completion", json=body)).json()
                shown = answer["completion_probabilities"][0]["top_logprobs"]
                found += [((*ids, one["id"]), total + one["logprob"]) for one in shown]
            beams = sorted(found, key=lambda beam: -beam[1])[: CONFIG.beam_width]
    return beams


@pytest.mark.parametrize("prompt", ["The capital of France is", "Repeat: 🦜🫠漢字 🦜🫠漢字 🦜🫠"])
async def test_it_finds_what_bare_requests_find(own_base_url: str, prompt: str) -> None:
    with trio.fail_after(120):
        async with Endpoint(own_base_url) as endpoint:
            result = await beam_search(endpoint, prompt, CONFIG)
        expected = await classical(own_base_url, prompt)
    assert result.exact
    found = [tuple(token.id for token in beam.tokens) for beam in result.beams]
    assert found[0] == expected[0][0]
    values = [total for _, total in expected]
    assert [beam.logprob for beam in result.beams] == pytest.approx(values, abs=1e-3)


async def test_by_text_it_finds_the_same_best(own_base_url: str) -> None:
    with trio.fail_after(120):
        async with Endpoint(own_base_url) as endpoint:
            by_ids = await beam_search(endpoint, "The capital of France is", CONFIG)
        async with Endpoint(own_base_url, dialect="openai") as endpoint:
            by_text = await beam_search(endpoint, "The capital of France is", CONFIG)
    assert by_text.text == by_ids.text
    assert not by_text.exact


async def test_fewer_alternatives_than_asked_for_are_an_error() -> None:
    async def capped(request: httpx.Request) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        top = {"a": -1.0, "b": -2.0}
        logprobs = {"tokens": ["a"], "token_logprobs": [-1.0], "top_logprobs": [top]}
        choice = {"text": "a", "finish_reason": "length", "logprobs": logprobs}
        return httpx.Response(200, json={"choices": [choice]})

    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(capped)) as client,
        Endpoint("http://mock/v1", dialect="openai", model="m", http_client=client) as endpoint,
    ):
        with pytest.raises(SearchFailed, match="shows 2 next tokens, where 4") as caught:
            await beam_search(endpoint, "p", CONFIG)
    assert isinstance(caught.value.failures[0].error, LogprobsUnavailable)
