"""A beam that fails, hangs or is refused, between us and a real server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import httpx
import pytest
import trio

from trio_beam import (
    BeamSearchConfig,
    BeamTimeout,
    ContextOverflow,
    Endpoint,
    RequestRejected,
    RetryPolicy,
    SearchFailed,
    ServerError,
    beam_search,
)
from trio_beam.core.events import Event, RoundStarted
from trio_beam.http.transport import TrioTransport

CONFIG = BeamSearchConfig(
    beam_width=3,
    n_per_beam=2,
    tokens_per_step=6,
    max_tokens=18,
    seed=11,
    on_beam_failure="drop_beam",
    early_stopping=False,
)
Fault = Callable[[], Awaitable[httpx.Response]]


class Faulty(httpx.AsyncBaseTransport):
    """The real transport, except for the first request of round 2. It is also the observer of it."""

    def __init__(self, fault: Fault) -> None:
        self.real = TrioTransport()
        self.fault = fault
        self.armed = False
        self.beams = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, RoundStarted) and event.round == 2:
            self.armed = True
            self.beams = event.beams

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.armed:
            self.armed = False
            return await self.fault()
        return await self.real.handle_async_request(request)

    async def aclose(self) -> None:
        await self.real.aclose()


async def error() -> httpx.Response:
    await trio.lowlevel.checkpoint()
    return httpx.Response(500, text="injected")


async def reset() -> httpx.Response:
    await trio.lowlevel.checkpoint()
    raise httpx.ReadError("injected")


async def hang() -> httpx.Response:
    await trio.sleep_forever()
    raise AssertionError


async def test_a_beam_that_fails_is_dropped(own_base_url: str) -> None:
    transport = Faulty(error)
    with trio.fail_after(120):
        async with (
            httpx.AsyncClient(transport=transport, timeout=None) as client,
            Endpoint(own_base_url, http_client=client, retry=RetryPolicy(attempts=1)) as endpoint,
        ):
            result = await beam_search(endpoint, "Once upon a time", CONFIG, observers=[transport])
    assert result.rounds == 3
    assert [type(failure.error) for failure in result.failures] == [ServerError]
    assert transport.real.open_connections == 0


async def test_a_reset_is_mended_by_a_retry_with_the_same_seed(own_base_url: str) -> None:
    transport = Faulty(reset)
    retry = RetryPolicy(attempts=3, wait_initial=0.01)
    with trio.fail_after(120):
        async with Endpoint(own_base_url) as endpoint:
            undisturbed = await beam_search(endpoint, "Once upon a time", CONFIG)
        async with (
            httpx.AsyncClient(transport=transport, timeout=None) as client,
            Endpoint(own_base_url, http_client=client, retry=retry) as endpoint,
        ):
            result = await beam_search(endpoint, "Once upon a time", CONFIG, observers=[transport])
    assert result.usage.retries == 1
    assert result.text == undisturbed.text


async def test_a_beam_that_hangs_ends_at_its_timeout(own_base_url: str) -> None:
    transport = Faulty(hang)
    config = attrs.evolve(CONFIG, beam_timeout=5, tokens_per_step=2, max_tokens=6)
    with trio.fail_after(120):
        async with (
            httpx.AsyncClient(transport=transport, timeout=None) as client,
            Endpoint(own_base_url, http_client=client) as endpoint,
        ):
            result = await beam_search(endpoint, "Once upon a time", config, observers=[transport])
            assert endpoint.statistics().in_flight == 0
    assert [type(failure.error) for failure in result.failures] == [BeamTimeout]
    assert result.rounds == 3


async def test_one_failure_cancels_the_siblings(own_base_url: str) -> None:
    transport = Faulty(error)
    config = attrs.evolve(
        CONFIG, on_beam_failure="cancel_siblings", tokens_per_step=40, max_tokens=80
    )
    with trio.fail_after(120):
        async with (
            httpx.AsyncClient(transport=transport, timeout=None) as client,
            Endpoint(own_base_url, http_client=client, retry=RetryPolicy(attempts=1)) as endpoint,
        ):
            with pytest.raises(SearchFailed) as caught:
                await beam_search(endpoint, "Once upon a time", config, observers=[transport])
            assert endpoint.statistics().in_flight == 0
    assert caught.value.partial.text
    assert caught.value.partial.usage.cancelled == transport.beams - 1 > 0


async def test_a_prompt_longer_than_the_context(own_base_url: str) -> None:
    with trio.fail_after(120):
        async with Endpoint(own_base_url) as endpoint:
            with pytest.raises(SearchFailed, match="exceeds the available context size") as caught:
                await beam_search(endpoint, "word " * 3000, CONFIG)
    assert isinstance(caught.value.failures[0].error, ContextOverflow)


async def test_a_wrong_path(own_base_url: str) -> None:
    wrong = own_base_url.replace("/v1", "/v7")
    with trio.fail_after(120):
        async with Endpoint(wrong) as endpoint:
            with pytest.raises(SearchFailed, match="File Not Found") as caught:
                await beam_search(endpoint, "Once", CONFIG)
    assert isinstance(caught.value.failures[0].error, RequestRejected)
    assert wrong in str(caught.value)
