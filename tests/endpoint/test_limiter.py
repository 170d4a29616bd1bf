"""The limit on requests in flight: kept, fair, given back, and of a size that it finds."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.servers.mock_server import MockServer, answering
from trio_beam import BeamSearchConfig, RetryPolicy, beam_search
from trio_beam.core.events import Event
from trio_beam.core.request_events import LimitChanged
from trio_beam.endpoint.limiter import FairLimiter


async def hold(limiter: FairLimiter, search: str, order: list[str], seconds: float = 1) -> None:
    if not limiter.try_acquire():
        await limiter.acquire(search)
    order.append(search)
    try:
        await trio.sleep(seconds)
    finally:
        limiter.release()


async def test_slots_go_to_the_searches_in_turn(autojump_clock: MockClock) -> None:
    limiter = FairLimiter(1)
    order: list[str] = []
    async with trio.open_nursery() as nursery:
        for search in ["large"] * 20 + ["small"] * 2:
            nursery.start_soon(hold, limiter, search, order)
        await wait_all_tasks_blocked()
        assert (limiter.in_flight, limiter.waiting) == (1, 21)
    # Whoever came first: both of the small one's are among the first five.
    assert order[:5].count("small") == 2
    assert (limiter.in_flight, limiter.waiting) == (0, 0)


async def test_a_large_search_does_not_starve_a_small_one(autojump_clock: MockClock) -> None:
    large = BeamSearchConfig(
        beam_width=100, n_per_beam=1, tokens_per_step=1, max_tokens=3, deduplicate=False
    )
    small = BeamSearchConfig(beam_width=2, n_per_beam=1, tokens_per_step=1, max_tokens=3)
    ended: list[float] = []
    async with MockServer(latency=1).endpoint(max_concurrent=10, max_n=1) as endpoint:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(beam_search, endpoint, "large", large)
            await trio.sleep(0.5)
            await beam_search(endpoint, "small", small)
            ended.append(trio.current_time())
        ended.append(trio.current_time())
    assert ended[0] <= 8  # of the 31 s that both take together
    assert ended[1] >= 30


async def test_cancelled_waiters_leave_their_line(autojump_clock: MockClock) -> None:
    limiter = FairLimiter(2)
    order: list[str] = []
    for seconds in (0.1, 0.5, 1.0, 1.5, 3.5):
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                for number in range(12):
                    nursery.start_soon(hold, limiter, str(number % 3), order)
        assert (limiter.in_flight, limiter.waiting) == (0, 0)
    await hold(limiter, "after", order)


async def test_a_smaller_size_waits_for_slots_to_come_back(autojump_clock: MockClock) -> None:
    limiter = FairLimiter(4)
    order: list[str] = []
    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(hold, limiter, "a", order)
        await wait_all_tasks_blocked()
        limiter.resize(1)
        assert limiter.in_flight == 4
        await trio.sleep(1.5)
        assert limiter.in_flight == 1
        limiter.resize(3)
        assert limiter.in_flight == 3
    assert len(order) == 8


async def test_it_grows_by_one_for_each_round_of_answers(autojump_clock: MockClock) -> None:
    sizes: list[int] = []
    limiter = FairLimiter(4, adaptive=True, max_size=6)
    order: list[str] = []

    async def answered() -> None:
        if not limiter.try_acquire():
            await limiter.acquire("a")
        await trio.sleep(1)
        before = limiter.size
        limiter.succeeded()
        if limiter.size != before:
            sizes.append(limiter.size)
        limiter.release()
        order.append("a")

    async with trio.open_nursery() as nursery:
        for _ in range(60):
            nursery.start_soon(answered)
    assert sizes == [5, 6]
    assert len(order) == 60


def test_it_does_not_grow_while_it_is_not_used() -> None:
    limiter = FairLimiter(4, adaptive=True, max_size=100)
    for _ in range(100):
        assert limiter.try_acquire()
        limiter.succeeded()
        limiter.release()
    assert limiter.size == 4


def test_one_overload_halves_it_once() -> None:
    """All requests that were under way meet the same overload."""
    limiter = FairLimiter(16, adaptive=True)
    generation = limiter.generation
    for _ in range(16):
        limiter.overloaded(generation)
    assert limiter.size == 8
    limiter.overloaded(limiter.generation)
    assert limiter.size == 4
    for _ in range(9):
        limiter.overloaded(limiter.generation)
    assert limiter.size == 1


def test_a_fixed_limit_stays() -> None:
    limiter = FairLimiter(16)
    limiter.overloaded(limiter.generation)
    limiter.succeeded()
    assert limiter.size == 16


CONFIG = BeamSearchConfig(
    beam_width=40, n_per_beam=1, tokens_per_step=1, max_tokens=6, deduplicate=False, seed=1
)


async def test_auto_is_visible_and_finds_what_a_server_takes(autojump_clock: MockClock) -> None:
    """A server that refuses the eleventh request at the same time."""
    server = MockServer(latency=1)

    async def refuse(number: int, body: dict[str, Any]) -> httpx.Response | None:
        await trio.lowlevel.checkpoint()
        return httpx.Response(429) if server.in_flight > 10 else None

    server.before = refuse
    policy = RetryPolicy(attempts=50, wait_initial=0.1, wait_max=1)
    async with server.endpoint(max_concurrent="auto", max_n=1, retry=policy) as endpoint:
        assert endpoint.statistics().limit == 8
        events: list[Event] = []
        result = await beam_search(endpoint, "p", CONFIG, observers=[events.append])
        changes = [event for event in events if isinstance(event, LimitChanged)]
        assert {change.limit - change.before > 0 for change in changes} == {True, False}
        assert changes[0].before == 8
        assert changes[-1].limit == endpoint.statistics().limit
        assert 4 <= endpoint.statistics().limit <= 11
    assert result.rounds == 6
    assert server.most_in_flight <= 12


@pytest.mark.parametrize("status", [500, 400])
async def test_other_errors_are_no_overload(status: int, autojump_clock: MockClock) -> None:
    server = MockServer(answering(lambda: httpx.Response(status), 1))
    config = BeamSearchConfig(max_tokens=2, tokens_per_step=1, on_beam_failure="drop_beam")
    async with server.endpoint(max_concurrent="auto", retry=RetryPolicy(attempts=2)) as endpoint:
        await beam_search(endpoint, "p", config)
        assert endpoint.statistics().limit == 8
