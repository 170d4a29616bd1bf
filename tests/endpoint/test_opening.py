"""A search on an endpoint that is not open, or no longer; and an endpoint that is opened again."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import httpx
import pytest
import trio
from trio.testing import MockClock

from tests.servers.mock_server import MockServer, answering, at_rest, completion
from tests.servers.socket_server import (
    answer_forever,
    http_answer,
    raw_server,
    read_request,
    threaded_server,
    wait_for_disconnect,
)
from trio_beam import (
    BeamSearchConfig,
    Endpoint,
    EndpointClosed,
    RetryPolicy,
    SearchFailed,
    TrioBeamError,
    beam_search,
)

CONFIG = BeamSearchConfig(
    beam_width=2,
    n_per_beam=2,
    tokens_per_step=3,
    max_tokens=9,
    seed=1,
    early_stopping=False,
    deduplicate=False,
)


async def failed(search: Awaitable[object]) -> SearchFailed:
    """The error in which it must end: bare, with causes that are all `EndpointClosed`."""
    with pytest.raises(SearchFailed) as caught:
        await search
    error = caught.value
    assert isinstance(error.__cause__, ExceptionGroup)
    assert {type(cause) for cause in error.__cause__.exceptions} == {EndpointClosed}
    assert {type(failure.error) for failure in error.failures} == {EndpointClosed}
    return error


@pytest.mark.parametrize("dialect", ["openai", "auto"])
@pytest.mark.parametrize("on_beam_failure", ["cancel_siblings", "drop_beam"])
async def test_an_endpoint_that_was_never_entered(dialect: str, on_beam_failure: Any) -> None:
    endpoint = Endpoint("http://127.0.0.1:1/v1", model="m", dialect=dialect)
    config = BeamSearchConfig(on_beam_failure=on_beam_failure)
    error = await failed(beam_search(endpoint, "p", config))
    assert "async with Endpoint(...)" in str(error)
    assert error.failures[0].error.url.startswith("http://127.0.0.1:1/v1/")
    assert (error.partial.beams, error.partial.usage.retries) == ((), 0)
    at_rest(endpoint)


async def test_one_that_was_left() -> None:
    with trio.fail_after(20):
        async with raw_server(answer_forever) as server:
            async with Endpoint(server.url, model="m", dialect="openai") as endpoint:
                await beam_search(endpoint, "p", CONFIG)
            await failed(beam_search(endpoint, "p", CONFIG))


async def test_its_capabilities_cannot_be_asked_for() -> None:
    with pytest.raises(EndpointClosed):
        await Endpoint("http://127.0.0.1:1/v1").capabilities()


async def test_one_that_is_closed_under_a_search() -> None:
    """What had been found before is in the partial result; nothing is tried again."""
    under_way = trio.Event()

    async def second_hangs(stream: trio.SocketStream, number: int) -> None:
        body = await read_request(stream)
        if number == 0:
            await stream.send_all(http_answer(completion(body)))
            await read_request(stream)
        under_way.set()
        await wait_for_disconnect(stream)

    errors: list[SearchFailed] = []
    with trio.fail_after(20):
        async with raw_server(second_hangs) as server:
            endpoint = Endpoint(server.url, model="m", dialect="openai")

            async def search() -> None:
                errors.append(await failed(beam_search(endpoint, "p", CONFIG)))

            async with trio.open_nursery() as nursery, endpoint:
                nursery.start_soon(search)
                await under_way.wait()
            at_rest(endpoint)
            assert endpoint.statistics().open_connections == 0
            await server.empty.wait()
    partial = errors[0].partial
    assert [beam.length for beam in partial.beams] == [3, 3]
    assert (partial.rounds, partial.usage.retries) == (1, 0)


async def test_a_callers_client_that_is_closed_under_a_search() -> None:
    async def handle(request: httpx.Request) -> httpx.Response:
        response = await server.handle(request)
        if len(server.bodies) == 1:
            await client.aclose()
        return response

    server = MockServer(latency=0)
    client = httpx.AsyncClient(transport=httpx.MockTransport(handle))
    async with Endpoint(
        "http://mock/v1", model="m", dialect="openai", http_client=client
    ) as endpoint:
        error = await failed(beam_search(endpoint, "p", CONFIG))
    assert "the http_client is closed" in str(error)
    assert [beam.length for beam in error.partial.beams] == [3, 3]


async def test_a_request_that_waits_for_a_slot_when_the_endpoint_is_closed(
    autojump_clock: MockClock,
) -> None:
    server = MockServer(latency=10)
    errors: list[SearchFailed] = []
    async with httpx.AsyncClient(transport=httpx.MockTransport(server.handle)) as client:
        endpoint = Endpoint(
            "http://mock/v1", model="m", dialect="openai", http_client=client, max_concurrent=1
        )

        async def search() -> None:
            errors.append(await failed(beam_search(endpoint, "p", CONFIG)))

        async with trio.open_nursery() as nursery, endpoint:
            nursery.start_soon(search)
            await trio.sleep(15)  # in the second round one request is sent and one waits
    assert errors[0].partial.rounds == 1
    at_rest(endpoint)


# -- entered again


async def test_an_endpoint_cannot_be_entered_while_it_is_open() -> None:
    async with Endpoint("http://127.0.0.1:1/v1") as endpoint:
        with pytest.raises(TrioBeamError, match="open already") as caught:
            await endpoint.__aenter__()
    assert type(caught.value) is TrioBeamError


async def test_an_endpoint_may_be_entered_again() -> None:
    with trio.fail_after(20):
        async with raw_server(answer_forever) as server:
            endpoint = Endpoint(server.url, model="m", dialect="openai")
            for _ in range(3):
                async with endpoint:
                    assert (await beam_search(endpoint, "p", CONFIG)).rounds == 3
                    assert endpoint.statistics().open_connections == 2
                assert endpoint.statistics().open_connections == 0
            await server.empty.wait()


def test_an_endpoint_does_not_remember_the_clock_of_the_first_run() -> None:
    """A clock may begin anywhere: that a pause was to end at 1,000,050 means nothing to the next."""
    limited = httpx.Response(429, headers={"retry-after": "50"})
    server = MockServer(answering(lambda: limited, 0), latency=1)
    client = httpx.AsyncClient(transport=httpx.MockTransport(server.handle))
    endpoint = Endpoint(
        "http://mock/v1",
        model="m",
        dialect="openai",
        http_client=client,
        retry=RetryPolicy(attempts=2, wait_initial=0, wait_max=0),
    )

    async def search() -> float:
        start = trio.current_time()
        async with endpoint:
            await beam_search(endpoint, "p", CONFIG)
        return trio.current_time() - start

    first, second = MockClock(autojump_threshold=0), MockClock(autojump_threshold=0)
    first.jump(1_000_000)
    assert trio.run(search, clock=first) == pytest.approx(53)
    assert trio.run(search, clock=second) == pytest.approx(3)


def test_an_endpoint_with_connections_of_its_own_under_a_second_run() -> None:
    with threaded_server() as (url, bodies):
        endpoint = Endpoint(url)

        async def search() -> None:
            with trio.fail_after(20):
                async with endpoint:
                    assert (await beam_search(endpoint, "p", CONFIG)).rounds == 3
                    assert endpoint.statistics().open_connections == 2
                assert endpoint.statistics().open_connections == 0

        trio.run(search)
        trio.run(search)
    assert len(bodies) == 10
