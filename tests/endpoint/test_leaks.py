"""Thousands of requests with random deadlines, and what is left of them: nothing."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.servers.socket_server import (
    RawServer,
    answer_forever,
    raw_server,
    read_request,
    wait_for_disconnect,
)
from trio_beam import BeamSearchConfig, Endpoint, RetryPolicy, beam_search, beam_search_within

pytestmark = pytest.mark.promise(3)

CONFIG = BeamSearchConfig(
    beam_width=10,
    n_per_beam=1,
    tokens_per_step=2,
    max_tokens=8,
    seed=1,
    early_stopping=False,
    deduplicate=False,
)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


async def all_gone(server: RawServer) -> None:
    """Wait until the server has seen all its peers go, and has ended their tasks."""
    await server.empty.wait()
    assert server.open == 0
    await wait_all_tasks_blocked()


@pytest.mark.parametrize("max_concurrent", [7, 1000])
async def test_random_deadlines_leave_nothing(max_concurrent: int) -> None:
    """Connects, sends and reads are cut off anywhere, hundreds of 2,000 times."""
    source = random.Random(7)

    async def slowly(stream: trio.SocketStream, number: int) -> None:
        await trio.sleep(source.uniform(0, 0.01))
        await answer_forever(stream, number)

    with trio.fail_after(120):
        async with raw_server(slowly) as server:
            await wait_all_tasks_blocked()
            before = descriptors(), tasks()
            async with Endpoint(
                server.url,
                model="m",
                dialect="openai",
                max_concurrent=max_concurrent,
                max_n=1,
                retry=RetryPolicy(attempts=2, wait_initial=0, wait_max=0),
            ) as endpoint:

                async def one(seconds: float) -> None:
                    await beam_search_within(seconds, endpoint, "p", CONFIG)

                while endpoint.statistics().attempts < 2000:
                    async with trio.open_nursery() as nursery:
                        for _ in range(10):
                            nursery.start_soon(one, source.expovariate(100))
                    statistics = endpoint.statistics()
                    assert (statistics.in_flight, statistics.waiting) == (0, 0)
                assert statistics.cancelled > 150
                assert (await beam_search(endpoint, "p", CONFIG)).rounds == 4
            assert endpoint.statistics().open_connections == 0
            await all_gone(server)
            assert (descriptors(), tasks()) == before


async def test_a_thousand_in_flight_are_cancelled_at_once() -> None:
    arrived = 0
    all_arrived = trio.Event()

    async def hang(stream: trio.SocketStream, number: int) -> None:
        nonlocal arrived
        await read_request(stream)
        arrived += 1
        if arrived == 1000:
            all_arrived.set()
        await wait_for_disconnect(stream)

    config = BeamSearchConfig(beam_width=1000, n_per_beam=1, tokens_per_step=1, max_tokens=1)
    with trio.fail_after(60):
        async with raw_server(hang) as server:
            await wait_all_tasks_blocked()
            before = tasks()
            async with Endpoint(
                server.url, model="m", dialect="openai", max_concurrent=1000, max_n=1
            ) as endpoint:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(beam_search, endpoint, "p", config)
                    await all_arrived.wait()
                    assert endpoint.statistics().in_flight == 1000
                    nursery.cancel_scope.cancel()
                statistics = endpoint.statistics()
                assert (statistics.in_flight, statistics.open_connections) == (0, 0)
                assert statistics.cancelled == 1000
            await all_gone(server)
            assert tasks() == before
