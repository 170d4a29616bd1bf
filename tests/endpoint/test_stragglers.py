"""What is done about answers that are late: hedging."""

from __future__ import annotations

import json
from typing import Any

import attrs
import httpx
import pytest
import trio
from trio.testing import MockClock

from tests.servers.mock_server import Before, MockServer, completion
from trio_beam import BeamSearchConfig, BeamTimeout, SearchFailed, beam_search
from trio_beam.core.events import Event
from trio_beam.core.request_events import RequestHedged
from trio_beam.endpoint.latencies import Latencies

CONFIG = BeamSearchConfig(
    beam_width=4,
    n_per_beam=1,
    tokens_per_step=2,
    max_tokens=8,
    seed=1,
    early_stopping=False,
    deduplicate=False,
)


def late(seconds: float, *numbers: int) -> Before:
    async def before(number: int, body: dict[str, Any]) -> None:
        await trio.sleep(seconds if number in numbers else 0)

    return before


async def test_a_hedge_overtakes_a_straggler_and_changes_nothing(
    autojump_clock: MockClock,
) -> None:
    async with MockServer().endpoint() as endpoint:
        undisturbed = await beam_search(endpoint, "p", CONFIG)
    server = MockServer(late(200, 2))
    events: list[Event] = []
    async with server.endpoint(hedge_after=5, hedge_share=1) as endpoint:
        start = trio.current_time()
        result = await beam_search(endpoint, "p", CONFIG, observers=[events.append])
        assert trio.current_time() - start == 4 + 5  # four rounds, and the wait for the hedge
        statistics = endpoint.statistics()
    assert result.text == undisturbed.text
    assert result.usage.completion_tokens == undisturbed.usage.completion_tokens
    assert (statistics.hedges, statistics.cancelled) == (1, 1)
    assert result.usage.requests == undisturbed.usage.requests + 1
    assert [event for event in events if isinstance(event, RequestHedged)]
    # The very same request, and the loser was given up.
    assert [body for body in server.bodies if server.bodies.count(body) == 2] == [
        server.bodies[2]
    ] * 2
    assert server.cancelled == 1


async def test_a_hedge_that_straggles_is_hedged_once(autojump_clock: MockClock) -> None:
    server = MockServer(late(200, 2, 5, 6))  # 5 and 6 are its hedges
    async with server.endpoint(hedge_after=5, hedge_share=1) as endpoint:
        await beam_search(endpoint, "p", attrs.evolve(CONFIG, max_tokens=4))
        assert endpoint.statistics().hedges == 2
    assert server.times == [0, 1, 1, 1, 1, 6, 11]
    assert server.bodies[2] == server.bodies[5] == server.bodies[6]


async def test_without_hedging_a_straggler_is_waited_for(autojump_clock: MockClock) -> None:
    async with MockServer(late(200, 2)).endpoint() as endpoint:
        await beam_search(endpoint, "p", CONFIG)
        assert trio.current_time() >= 200


async def test_hedges_are_no_more_than_their_share(autojump_clock: MockClock) -> None:
    server = MockServer(late(200, *range(1, 13)))
    async with server.endpoint(hedge_after=5, hedge_share=0.2) as endpoint:
        await beam_search(endpoint, "p", CONFIG)
        statistics = endpoint.statistics()
    assert 0 < statistics.hedges <= 0.2 * statistics.attempts + 1


async def test_a_hedge_takes_no_slot_that_others_wait_for(autojump_clock: MockClock) -> None:
    server = MockServer(late(100, 2))
    async with server.endpoint(hedge_after=5, hedge_share=1, max_concurrent=1) as endpoint:
        await beam_search(endpoint, "p", CONFIG)
        assert endpoint.statistics().hedges == 0
    assert server.most_in_flight == 1


async def test_an_error_before_the_delay_is_an_error(autojump_clock: MockClock) -> None:
    async def refuse(number: int, body: dict[str, Any]) -> httpx.Response | None:
        await trio.lowlevel.checkpoint()
        return httpx.Response(401) if number == 2 else None

    async with MockServer(refuse).endpoint(hedge_after=5) as endpoint:
        with pytest.raises(SearchFailed, match="HTTP 401"):
            await beam_search(endpoint, "p", CONFIG)


async def test_one_that_fails_leaves_it_to_the_other(autojump_clock: MockClock) -> None:
    """The first attempt fails after its hedge was sent; the hedge's answer counts."""

    async def fail_late(number: int, body: dict[str, Any]) -> httpx.Response | None:
        if number == 2:
            await trio.sleep(5.5)
            return httpx.Response(500)
        return None

    server = MockServer(fail_late)
    async with server.endpoint(hedge_after=5, hedge_share=1) as endpoint:
        result = await beam_search(endpoint, "p", CONFIG)
        assert endpoint.statistics().hedges == 1
    assert result.usage.retries == 0


async def test_no_hedge_is_sent_in_a_pause(autojump_clock: MockClock) -> None:
    async def before(number: int, body: dict[str, Any]) -> httpx.Response | None:
        if number == 1:
            return httpx.Response(429, headers={"retry-after": "20"})
        await trio.sleep(10 if number == 2 else 0)
        return None

    server = MockServer(before)
    async with server.endpoint(hedge_after=5, hedge_share=1) as endpoint:
        await beam_search(endpoint, "p", CONFIG)
        assert endpoint.statistics().hedges == 0
    assert server.times[:5] == [0, 1, 1, 1, 1]
    assert server.times[5] >= 1 + 20


async def test_a_pause_holds_for_all_while_a_race_goes_on(autojump_clock: MockClock) -> None:
    """The hedge is told to slow down, and the first attempt is not answered for long after."""

    async def before(number: int, body: dict[str, Any]) -> httpx.Response | None:
        if number == 5:
            return httpx.Response(429, headers={"retry-after": "20"})
        await trio.sleep(50 if number == 2 else 0)
        return None

    server = MockServer(before)
    async with (
        server.endpoint(hedge_after=5, hedge_share=1) as endpoint,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(beam_search, endpoint, "p", CONFIG)
        await trio.sleep(10)
        nursery.start_soon(beam_search, endpoint, "q", CONFIG)
    assert server.times[5] == 1 + 5
    assert server.times[6] == 1 + 5 + 20
    assert server.bodies[6]["prompt"] == "q"


async def test_an_answer_at_the_moment_of_a_cancellation_is_kept(
    autojump_clock: MockClock,
) -> None:
    """A beam fails as its sibling's answer comes, which is as its hedge is sent."""

    prompts: list[str] = []  # of no beam, of one, and of its sibling that fails
    answered: set[str] = set()

    async def before(number: int, body: dict[str, Any]) -> httpx.Response:
        if body["prompt"] not in prompts:
            prompts.append(body["prompt"])
        await trio.sleep(1)
        if body["prompt"] in prompts[2:]:
            return httpx.Response(401)
        answered.add(json.dumps(body))
        return httpx.Response(200, json=completion(body))

    config = attrs.evolve(CONFIG, beam_width=2)
    options = {"hedge_after": 1, "hedge_share": 1, "max_concurrent": 3}  # one of two is hedged
    for _ in range(20):  # Trio draws the order of what happens at the same moment
        prompts.clear()
        answered.clear()
        async with MockServer(before).endpoint(**options) as endpoint:
            with pytest.raises(SearchFailed) as caught:
                await beam_search(endpoint, "p", config)
        # Of two answers to the same request one counts.
        assert caught.value.partial.usage.prompt_tokens == 7 * len(answered)


async def test_both_may_hang_until_the_beams_time_is_over(autojump_clock: MockClock) -> None:
    async def hang(number: int, body: dict[str, Any]) -> None:
        if number >= 1:
            await trio.sleep_forever()

    server = MockServer(hang)
    async with server.endpoint(hedge_after=5, hedge_share=1) as endpoint:
        with pytest.raises(SearchFailed) as caught:
            await beam_search(endpoint, "p", attrs.evolve(CONFIG, beam_timeout=60))
    assert all(isinstance(failure.error, BeamTimeout) for failure in caught.value.failures)


async def test_p95_waits_for_enough_answers_and_then_hedges(autojump_clock: MockClock) -> None:
    server = MockServer(late(200, 2, 60))
    config = attrs.evolve(CONFIG, max_tokens=40)
    async with server.endpoint(hedge_after="p95", hedge_share=0.5) as endpoint:
        await beam_search(endpoint, "p", config)
        first = trio.current_time()
        assert first >= 200  # nothing was known yet
        await beam_search(endpoint, "q", config)
        assert endpoint.statistics().hedges >= 1
        assert trio.current_time() - first < 100


def test_quantiles_are_of_the_last_answers() -> None:
    latencies = Latencies()
    for number in range(19):
        latencies.add(number)
    assert latencies.quantile(0.95) is None
    for number in range(1000):
        latencies.add(number)
    assert latencies.quantile(0.0) == 1000 - 256
    assert latencies.quantile(0.95) == 1000 - 256 + int(0.95 * 256)
    assert latencies.quantile(1.0) == 999
