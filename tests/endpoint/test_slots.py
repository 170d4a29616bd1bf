"""The limit on concurrency: kept, shared, given back, and not counted against a beam."""

from __future__ import annotations

from typing import Any

import attrs
import httpx
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.servers.mock_server import MockServer, answering, at_rest
from trio_beam import BeamSearchConfig, Endpoint, beam_search

CONFIG = BeamSearchConfig(
    beam_width=6,
    n_per_beam=1,
    tokens_per_step=3,
    max_tokens=6,
    seed=1,
    early_stopping=False,
    deduplicate=False,
)


async def test_no_more_than_max_concurrent_are_in_flight(autojump_clock: MockClock) -> None:
    server = MockServer(latency=10)
    async with server.endpoint(max_concurrent=2) as endpoint, trio.open_nursery() as nursery:
        for prompt in "abc":
            nursery.start_soon(beam_search, endpoint, prompt, CONFIG)
        await wait_all_tasks_blocked()
        statistics = endpoint.statistics()
        assert (statistics.in_flight, statistics.waiting) == (2, 1)
    assert server.most_in_flight == 2


@pytest.mark.promise(2)
async def test_waiting_for_a_slot_does_not_use_up_a_beams_time(autojump_clock: MockClock) -> None:
    """Six beams, one slot, ten seconds each: the last one waits fifty, with a limit of fifteen."""
    server = MockServer(latency=10)
    async with server.endpoint(max_concurrent=1) as endpoint:
        result = await beam_search(endpoint, "p", attrs.evolve(CONFIG, beam_timeout=15))
    assert result.rounds == 2
    assert server.times[-1] == 60


async def test_nor_do_the_other_requests_of_a_beam(autojump_clock: MockClock) -> None:
    """Round 1 is one beam; where n is ignored it takes six requests, one after the other here."""
    server = MockServer(latency=10, n_cap=1)
    async with server.endpoint(max_concurrent=1) as endpoint:
        result = await beam_search(endpoint, "p", attrs.evolve(CONFIG, beam_timeout=15))
    assert result.rounds == 2
    assert server.times[-1] == 110


@pytest.mark.promise(2)
async def test_nor_does_a_pause_that_the_server_asks_for(autojump_clock: MockClock) -> None:
    """One search is told to wait until 110; the beams of another, which begins at 20, have 15 each."""
    limited = httpx.Response(429, headers={"retry-after": "100"})
    server = MockServer(answering(lambda: limited, 0), latency=10)
    config = attrs.evolve(CONFIG, beam_timeout=15)
    async with server.endpoint() as endpoint, trio.open_nursery() as nursery:
        nursery.start_soon(beam_search, endpoint, "a", CONFIG)
        await trio.sleep(20)
        result = await beam_search(endpoint, "b", config)
        assert trio.current_time() == 120
    assert result.rounds == 2
    assert result.failures == ()


@pytest.mark.promise(2)
async def test_nor_does_a_pause_that_comes_while_it_waits_for_a_slot(
    autojump_clock: MockClock,
) -> None:
    """The first of six beams is refused at 0, so that the five others wait for a slot and a pause."""
    limited = httpx.Response(503, headers={"retry-after": "100"})
    server = MockServer(answering(lambda: limited, 1), latency=10)
    async with server.endpoint(max_concurrent=1) as endpoint:
        config = attrs.evolve(CONFIG, beam_timeout=150)
        result = await beam_search(endpoint, "p", config)
        assert result.rounds == 2
        assert min(server.times[2:]) == 110
        late = attrs.evolve(CONFIG, beam_timeout=15, on_beam_failure="drop_beam")
        assert (await beam_search(endpoint, "p", late)).failures == ()


async def test_slots_come_back_after_cancellation(autojump_clock: MockClock) -> None:
    server = MockServer(latency=10)
    async with server.endpoint(max_concurrent=2) as endpoint:
        for seconds in range(1, 40):
            with trio.move_on_after(seconds / 2):
                async with trio.open_nursery() as nursery:
                    for prompt in "abc":
                        nursery.start_soon(beam_search, endpoint, prompt, CONFIG)
            at_rest(endpoint)
        assert server.in_flight == 0
        assert (await beam_search(endpoint, "p", CONFIG)).rounds == 2


async def test_an_endpoint_must_be_open() -> None:
    endpoint = Endpoint("http://127.0.0.1:1/v1", model="m", dialect="openai")
    with pytest.RaisesGroup(Exception, flatten_subgroups=True, allow_unwrapped=True) as caught:
        await beam_search(endpoint, "p", CONFIG)
    assert "async with" in repr(caught.value)
    async with endpoint:
        with pytest.raises(Exception, match="open already"):
            await endpoint.__aenter__()


async def test_statistics_count(autojump_clock: MockClock) -> None:
    server = MockServer(latency=10)
    async with server.endpoint() as endpoint:
        result = await beam_search(endpoint, "p", CONFIG)
        with trio.move_on_after(15):
            await beam_search(endpoint, "p", CONFIG)
        statistics: Any = endpoint.statistics()
    assert result.usage.requests == 7
    assert statistics.attempts == 14
    assert statistics.cancelled == 6
    assert statistics.open_connections is None  # the client is the caller's
