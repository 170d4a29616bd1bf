"""What an endpoint finds out about its server, and that it pays for it once."""

from __future__ import annotations

from typing import Any

import attrs
import httpx
import pytest
from trio.testing import MockClock

from tests.servers.mock_server import MockServer, completion
from trio_beam import BeamSearchConfig, LogprobsUnavailable, SearchFailed, beam_search

CONFIG = BeamSearchConfig(
    beam_width=2, n_per_beam=3, tokens_per_step=3, max_tokens=6, seed=1, early_stopping=False
)


@pytest.mark.promise(6)
async def test_a_named_dialect_with_a_named_model_sends_only_the_search(
    autojump_clock: MockClock,
) -> None:
    server = MockServer()
    async with server.endpoint() as endpoint:
        await beam_search(endpoint, "p", CONFIG)
    assert server.paths == ["/v1/completions"] * 3


async def test_auto_asks_once_for_all_searches(autojump_clock: MockClock) -> None:
    server = MockServer()
    async with server.endpoint(dialect="auto", model=None) as endpoint:
        await beam_search(endpoint, "p", CONFIG)
        await beam_search(endpoint, "p", CONFIG)
        assert endpoint.model == "mock"
    assert server.paths == ["/v1/models"] + ["/v1/completions"] * 6
    assert {body.get("model", "mock") for body in server.bodies} == {"mock"}


@pytest.mark.parametrize("models", [[], ["a", "b"]])
async def test_the_model_must_be_named_if_it_is_not_the_only_one(models: list[str]) -> None:
    async def list_models(number: int, body: dict[str, Any]) -> httpx.Response:
        return httpx.Response(200, json={"data": [{"id": name} for name in models]})

    async with MockServer(list_models).endpoint(model=None) as endpoint:
        with pytest.raises(SearchFailed, match="name the model") as caught:
            await beam_search(endpoint, "p", CONFIG)
    for name in models:
        assert name in str(caught.value)
    assert caught.value.failures[0].round == 0


async def test_a_server_without_a_list_of_models_will_do_if_the_model_is_named(
    autojump_clock: MockClock,
) -> None:
    async def no_list(number: int, body: dict[str, Any]) -> httpx.Response | None:
        return httpx.Response(404) if number == 0 else None

    async with MockServer(no_list).endpoint(dialect="auto") as endpoint:
        assert (await beam_search(endpoint, "p", CONFIG)).rounds == 2


@pytest.mark.promise(6)
async def test_a_server_that_ignores_n_is_served_by_more_requests(
    autojump_clock: MockClock,
) -> None:
    server = MockServer(n_cap=1)
    async with server.endpoint() as endpoint:
        split = await beam_search(endpoint, "p", CONFIG)
        asked = [body.get("n", 1) for body in server.bodies]
        assert asked == [6] + [1] * (5 + 6)
        await beam_search(endpoint, "p", CONFIG)
        assert [body.get("n", 1) for body in server.bodies[12:]] == [1] * 12
    async with MockServer().endpoint() as endpoint:
        whole = await beam_search(endpoint, "p", CONFIG)
    # Choice i of one request is sampled with seed + i, so the split draws the same samples.
    assert split.text == whole.text
    assert split.score == whole.score


@pytest.mark.promise(6)
async def test_a_server_that_refuses_n_is_served_by_more_requests(
    autojump_clock: MockClock,
) -> None:
    async def refuse(number: int, body: dict[str, Any]) -> httpx.Response | None:
        if body.get("n", 1) <= 4:
            return None
        words = f"Field 'n': Value must be between 1 <= value <= 4, but got {body['n']}"
        return httpx.Response(400, json={"error": {"message": words}})

    server = MockServer(refuse)
    async with server.endpoint() as endpoint:
        result = await beam_search(endpoint, "p", CONFIG)
    assert [body.get("n", 1) for body in server.bodies] == [6, 4, 2, 3, 3]
    assert result.rounds == 2
    assert result.usage.retries == 0  # a lesson, not a fault


async def test_max_n_can_be_given(autojump_clock: MockClock) -> None:
    server = MockServer()
    async with server.endpoint(max_n=2) as endpoint:
        await beam_search(endpoint, "p", CONFIG)
    assert max(body.get("n", 1) for body in server.bodies) == 2


@pytest.mark.promise(6)
async def test_a_smaller_limit_on_logprobs_is_obeyed(autojump_clock: MockClock) -> None:
    async def refuse(number: int, body: dict[str, Any]) -> httpx.Response | None:
        if body["logprobs"] <= 5:
            return None
        words = f"Requested sample logprobs of {body['logprobs']}, max allowed: 5"
        return httpx.Response(400, json={"error": {"message": words}})

    server = MockServer(refuse)
    async with server.endpoint() as endpoint:
        await beam_search(endpoint, "p", attrs.evolve(CONFIG, top_logprobs=20))
    assert [body["logprobs"] for body in server.bodies] == [20, 5, 5, 5]


@pytest.mark.promise(5)
async def test_no_logprobs_is_an_error_at_the_first_answer(autojump_clock: MockClock) -> None:
    async def without(number: int, body: dict[str, Any]) -> httpx.Response:
        answer = completion(body)
        for choice in answer["choices"]:
            choice["logprobs"] = None
        return httpx.Response(200, json=answer)

    server = MockServer(without)
    async with server.endpoint() as endpoint:
        with pytest.raises(SearchFailed) as caught:
            await beam_search(endpoint, "p", CONFIG)
    error = caught.value.failures[0].error
    assert isinstance(error, LogprobsUnavailable)
    assert error.url == "http://mock/v1"
    assert len(server.bodies) == 1


async def test_sampling_fields_are_always_explicit(autojump_clock: MockClock) -> None:
    server = MockServer()
    async with server.endpoint() as endpoint:
        await beam_search(endpoint, "p", CONFIG)
    for body in server.bodies:
        assert body["temperature"] == 1.0
        assert body["top_p"] == 1
        assert body["logprobs"] >= 1


async def test_the_last_block_is_shortened(autojump_clock: MockClock) -> None:
    server = MockServer()
    async with server.endpoint() as endpoint:
        result = await beam_search(endpoint, "p", attrs.evolve(CONFIG, max_tokens=8))
    assert [body["max_tokens"] for body in server.bodies] == [3, 3, 3, 2, 2]
    assert {beam.length for beam in result.beams} == {8}
