"""Many prompts on one endpoint: one outcome for each, bounded memory, and an end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import attrs
import httpx
import pytest
import trio
from trio.testing import MockClock

from tests.servers.mock_server import MockServer
from trio_beam import (
    BeamSearchConfig,
    ConfigError,
    Event,
    McmcConfig,
    RequestRejected,
    RequestRetried,
    SampleRequest,
    SearchFailed,
    SearchFinished,
    Strategy,
    beam_search,
    search_many,
)
from trio_beam.core.seeds import prompt_seed
from trio_beam.testing import FakeEndpoint

CONFIG = BeamSearchConfig(tokens_per_step=2, max_tokens=4, seed=1, early_stopping=False)


async def test_there_is_one_outcome_for_each_prompt(autojump_clock: MockClock) -> None:
    prompts = [f"prompt {number}" for number in range(50)]
    async with MockServer().endpoint() as endpoint:
        async with search_many(endpoint, prompts, CONFIG, max_searches=7) as outcomes:
            found = {outcome.index: outcome async for outcome in outcomes}
        assert sorted(found) == list(range(50))
        config = attrs.evolve(CONFIG, seed=prompt_seed(1, 13))
        alone = await beam_search(endpoint, prompts[13], config)
    assert found[13].result is not None
    assert found[13].result.text == alone.text
    assert found[13].error is None


async def test_an_error_is_an_outcome(autojump_clock: MockClock) -> None:
    async def before(request: SampleRequest) -> None:
        if len(model.requests) == 2:
            raise RequestRejected("no", status=400)

    model = FakeEndpoint(latency=1, before=before)
    prompts: Any = ["a", "", "b", None, "c"]
    async with search_many(model, prompts, CONFIG) as outcomes:
        found = {outcome.index: outcome async for outcome in outcomes}
    assert {index for index, outcome in found.items() if outcome.result} == {0, 2, 4} - {
        index for index, outcome in found.items() if isinstance(outcome.error, SearchFailed)
    }
    assert isinstance(found[1].error, ConfigError)
    assert isinstance(found[3].error, ConfigError)
    assert sum(isinstance(outcome.error, SearchFailed) for outcome in found.values()) == 1


@pytest.mark.parametrize("strategy", [CONFIG, McmcConfig(chains=2, steps=1, max_tokens=2, seed=1)])
async def test_events_carry_the_index_of_their_search(
    autojump_clock: MockClock, strategy: Strategy
) -> None:
    ends: list[SearchFinished] = []
    indices: dict[type, set[int]] = {}

    def observe(event: Event) -> None:
        indices.setdefault(type(event), set()).add(event.index)
        if isinstance(event, SearchFinished):
            ends.append(event)

    async def stumble(number: int, body: dict[str, Any]) -> httpx.Response | None:
        await trio.lowlevel.checkpoint()
        return httpx.Response(503) if number < 6 else None

    async with MockServer(stumble).endpoint() as endpoint:
        prompts = ["a", "b", "c"]
        async with search_many(endpoint, prompts, strategy, observers=[observe]) as outcomes:
            found = {outcome.index: outcome.result async for outcome in outcomes}
    assert {event.index: event.result for event in ends} == found
    assert RequestRetried in indices
    assert all(seen == {0, 1, 2} for seen in indices.values())


async def test_prompts_are_read_no_faster_than_outcomes_are_taken(
    autojump_clock: MockClock,
) -> None:
    read = 0

    def endless() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield "p"

    model = FakeEndpoint(latency=1)
    async with search_many(model, endless(), CONFIG, max_searches=3) as outcomes:
        await trio.sleep(1000)  # nobody takes one
        assert read <= 3 + 1
        taken = 0
        async for _ in outcomes:
            taken += 1
            assert read <= taken + 3 + 1
            if taken == 20:
                break
    assert model.in_flight == 0


async def test_leaving_the_block_cancels_the_rest(autojump_clock: MockClock) -> None:
    model = FakeEndpoint(latency=100)
    async with search_many(model, ["p"] * 10, CONFIG) as outcomes:
        await trio.sleep(1)
        assert model.in_flight == 10
    assert model.in_flight == 0
    assert model.cancelled == 10
    with pytest.raises(trio.ClosedResourceError):
        await outcomes.receive()


async def test_prompts_may_come_asynchronously(autojump_clock: MockClock) -> None:
    send, receive = trio.open_memory_channel[str](0)

    async def produce() -> None:
        async with send:
            for prompt in "abc":
                await trio.sleep(10)
                await send.send(prompt)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce)
        async with search_many(FakeEndpoint(), receive, CONFIG) as outcomes:
            assert [outcome.index async for outcome in outcomes] == [0, 1, 2]


async def test_a_fault_of_the_caller_in_the_block_comes_out(autojump_clock: MockClock) -> None:
    model = FakeEndpoint(latency=100)
    with pytest.raises(ZeroDivisionError):  # noqa: PT012  # it is the block that raises
        async with search_many(model, ["p"] * 3, CONFIG):
            await trio.sleep(1)
            raise ZeroDivisionError
    assert model.in_flight == 0


async def test_prompts_that_raise(autojump_clock: MockClock) -> None:
    async def broken() -> AsyncIterator[str]:
        yield "p"
        await trio.sleep(1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):  # noqa: PT012  # they are read within the block
        async with search_many(FakeEndpoint(latency=100), broken(), CONFIG) as outcomes:
            async for _ in outcomes:
                pass


async def test_no_prompts_no_outcomes() -> None:
    async with search_many(FakeEndpoint(), [], CONFIG) as outcomes:
        assert [outcome async for outcome in outcomes] == []


@pytest.mark.parametrize("value", [0, -1, 1.5, True, None])
async def test_max_searches_is_checked(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"^max_searches must be"):
        async with search_many(FakeEndpoint(), [], CONFIG, max_searches=value):
            pass


async def test_the_same_seed_gives_the_same_outcomes(autojump_clock: MockClock) -> None:
    texts: list[dict[int, str]] = []
    for searches in (1, 5):
        model = FakeEndpoint(latency=1)
        config = attrs.evolve(CONFIG, seed=5)
        async with search_many(model, ["a"] * 5, config, max_searches=searches) as outcomes:
            texts.append({one.index: one.result.text async for one in outcomes if one.result})
    assert texts[0] == texts[1]
    assert len(texts[0]) == 5


async def test_a_seed_is_another_for_each_prompt(autojump_clock: MockClock) -> None:
    """The same prompt many times is as many draws: with one seed they would all be the same."""
    config = BeamSearchConfig(
        selection="resample", alpha=1.0, n_per_beam=1, tokens_per_step=4, max_tokens=8, seed=7
    )
    async with search_many(FakeEndpoint(), ["p"] * 100, config) as outcomes:
        found = [outcome.result.text async for outcome in outcomes if outcome.result]
    assert len(set(found)) > 80
    assert len({prompt_seed(7, index) for index in range(10_000)}) > 9_990


async def test_an_asynchronous_generator_is_closed(autojump_clock: MockClock) -> None:
    closed = False

    async def endless() -> AsyncIterator[str]:
        nonlocal closed
        try:
            while True:
                yield "p"
        finally:
            closed = True

    async with search_many(FakeEndpoint(latency=1), endless(), CONFIG) as outcomes:
        await outcomes.receive()
    assert closed
