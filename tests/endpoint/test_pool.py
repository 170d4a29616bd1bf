"""The pool of a caller's client: no request ever waits in it, so it bounds the endpoint's limit."""

from __future__ import annotations

import random
from typing import Any

import httpx
import pytest
import trio

from tests.servers.mock_server import at_rest
from tests.servers.socket_server import answer_forever, raw_server
from trio_beam import BeamSearchConfig, Endpoint, beam_search, beam_search_within
from trio_beam.endpoint.limiter import FairLimiter
from trio_beam.http.transport import TrioTransport

CONFIG = BeamSearchConfig(
    beam_width=10, n_per_beam=1, tokens_per_step=2, max_tokens=4, seed=1, deduplicate=False
)


def limit_of(client: httpx.AsyncClient, url: str = "http://a.example/v1", **options: Any) -> int:
    return Endpoint(url, http_client=client, **options).statistics().limit


def pooled(size: int | None, **options: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(limits=httpx.Limits(max_connections=size), trust_env=False, **options)


def test_a_pool_that_is_smaller_than_max_concurrent_bounds_it() -> None:
    assert limit_of(pooled(5), max_concurrent=100) == 5
    assert limit_of(pooled(5), max_concurrent=3) == 3
    assert limit_of(pooled(5), max_concurrent="auto") == 5
    assert limit_of(pooled(500), max_concurrent="auto") == 8
    assert limit_of(pooled(None), max_concurrent=1000) == 1000
    assert limit_of(httpx.AsyncClient(), max_concurrent=1000) == 100


def test_other_transports_bound_nothing() -> None:
    for transport in (TrioTransport(), httpx.MockTransport(lambda _: httpx.Response(200))):
        client = httpx.AsyncClient(transport=transport)
        assert limit_of(client, max_concurrent=1000) == 1000


def test_the_pool_that_counts_is_that_of_the_url() -> None:
    limits = httpx.Limits(max_connections=4)
    mounts = {"http://b.example": httpx.AsyncHTTPTransport(limits=limits)}
    client = pooled(7, mounts=mounts)
    assert limit_of(client, max_concurrent=100) == 7
    assert limit_of(client, "http://b.example/v1", max_concurrent=100) == 4
    client = pooled(7, proxy="http://proxy.example:3128")
    assert limit_of(client, max_concurrent=100) == 7


def test_a_limit_that_grows_stops_at_its_ceiling() -> None:
    limiter = FairLimiter(2, adaptive=True, max_size=1024, ceiling=3)
    for _ in range(20):
        while limiter.try_acquire():
            pass
        limiter.succeeded()
    assert limiter.size == limiter.in_flight == 3
    limiter.resize(10)
    assert limiter.size == 3


@pytest.mark.promise(3)
async def test_a_small_pool_survives_random_deadlines() -> None:
    """Where requests waited in httpx's pool, all five connections were lost to cancellations."""
    source = random.Random(3)

    async def slowly(stream: trio.SocketStream, number: int) -> None:
        await trio.sleep(source.uniform(0, 0.01))
        await answer_forever(stream, number)

    with trio.fail_after(120):
        async with raw_server(slowly) as server:
            async with (
                pooled(5, timeout=10) as client,
                Endpoint(
                    server.url,
                    model="m",
                    dialect="openai",
                    max_concurrent=100,
                    max_n=1,
                    http_client=client,
                ) as endpoint,
            ):
                for _ in range(100):
                    await beam_search_within(source.expovariate(60), endpoint, "p", CONFIG)
                    at_rest(endpoint)
                assert endpoint.statistics().cancelled > 30
                assert (await beam_search(endpoint, "p", CONFIG)).rounds == 2
            await server.empty.wait()
