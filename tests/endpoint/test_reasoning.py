"""Servers that send thinking apart, or hide it: what can be searched there, and what is said before."""

from __future__ import annotations

from typing import Any

import pytest
from trio.testing import MockClock

from tests.servers.hosted_reasoner import HostedReasoner
from trio_beam import BeamSearchConfig, Endpoint, McmcConfig, SearchFailed, search
from trio_beam.errors import RequestRejected
from trio_beam.strategies import best_of_n, sample, self_consistency

CHAT = [{"role": "user", "content": "What is 17 * 23?"}]
BLOCKS = BeamSearchConfig(scorer="equal", tokens_per_step=500, max_tokens=2000)
SHAPES = [HostedReasoner(), HostedReasoner(hides=True), HostedReasoner(strict=False)]


def shape(hosted: HostedReasoner) -> HostedReasoner:
    return HostedReasoner(hides=hosted.hides, strict=hosted.strict)


def endpoint_of(hosted: HostedReasoner) -> Endpoint:
    return Endpoint(
        "https://hosted.example/v1",
        model="reasoner",
        api_key="k",
        dialect="openai",
        http_client=hosted.client(),
    )


@pytest.mark.parametrize("hosted", SHAPES)
async def test_one_block_is_searched(hosted: HostedReasoner, autojump_clock: MockClock) -> None:
    hosted = shape(hosted)
    async with endpoint_of(hosted) as endpoint:
        result = await search(
            endpoint, CHAT, self_consistency(16, r"\d+$", seed=1, max_tokens=2000)
        )
    assert result.votes[0][0] == "391"
    assert result.text == "17 * 23 = 391"
    assert result.usage.reasoning_tokens == 16 * 200
    assert all(bool(beam.reasoning) is not hosted.hides for beam in result.beams)


@pytest.mark.parametrize("hosted", SHAPES)
async def test_several_blocks_are_refused_at_the_first_response_and_then_at_once(
    hosted: HostedReasoner, autojump_clock: MockClock
) -> None:
    hosted = shape(hosted)
    async with endpoint_of(hosted) as endpoint:
        with pytest.raises(SearchFailed, match=r"(?s)single block.*self_consistency") as caught:
            await search(endpoint, CHAT, BLOCKS)
        assert isinstance(caught.value.failures[0].error, RequestRejected)
        assert caught.value.failures[0].round == 1
        partial = caught.value.partial  # nothing that was paid for is lost
        assert partial.text.startswith("17 * 23 = ")
        assert partial.usage.completion_tokens == 4 * 208
        sent = len(hosted.bodies)
        for strategy in (BLOCKS, McmcConfig(tokens_per_step=500, max_tokens=500, steps=1)):
            with pytest.raises(SearchFailed, match="single block") as caught:
                await search(endpoint, CHAT, strategy)
            assert caught.value.failures[0].round == 0
        assert len(hosted.bodies) == sent  # known before it starts
        await search(endpoint, CHAT, sample(scorer="equal", max_tokens=2000))


async def test_a_search_in_one_block_shows_it_to_the_next(autojump_clock: MockClock) -> None:
    hosted = HostedReasoner(strict=False)
    async with endpoint_of(hosted) as endpoint:
        await search(endpoint, CHAT, sample(scorer="equal", max_tokens=2000))
        with pytest.raises(SearchFailed, match="single block"):
            await search(endpoint, CHAT, BLOCKS)


def strategy(**more: Any) -> Any:
    return best_of_n(4, scorer="equal", seed=1, max_tokens=2000, reasoning_budget=50, **more)


async def test_a_limit_of_the_servers_own_is_found_and_kept(autojump_clock: MockClock) -> None:
    hosted = HostedReasoner(limit="thinking_budget")
    async with endpoint_of(hosted) as endpoint:
        result = await search(endpoint, CHAT, strategy())
        assert {len(beam.reasoning.split()) for beam in result.beams} == {50}
        assert (result.rounds, result.beams[0].forced, result.stop_reason) == (1, 0, "finished")
        learnt = len(hosted.bodies)
        await search(endpoint, CHAT, strategy())
    assert len(hosted.bodies) == learnt + 1
    assert hosted.bodies[-1]["thinking_budget"] == 50
    assert hosted.bodies[-1]["max_completion_tokens"] == 2000


@pytest.mark.parametrize(
    ("strict", "words"),
    [(True, "takes no limit on thinking"), (False, "ignores reasoning_budget=50")],
)
async def test_a_server_without_a_limit_says_what_to_do(
    strict: bool, words: str, autojump_clock: MockClock
) -> None:
    hosted = HostedReasoner(strict=strict)
    async with endpoint_of(hosted) as endpoint:
        with pytest.raises(SearchFailed, match=f"{words}.*extra_body") as caught:
            await search(endpoint, CHAT, strategy())
    assert isinstance(caught.value.failures[0].error, RequestRejected)
