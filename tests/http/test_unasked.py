"""Peers that speak without being asked: their bytes are counted, and never taken for an answer."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress

import httpx
import pytest
import trio
import trustme
from trio.testing import wait_all_tasks_blocked

from tests.http.talk import PLAIN, TIRED, Ask, both_ways, talk
from tests.servers.mock_server import completion
from tests.servers.socket_server import http_answer, raw_server, read_request, wait_for_disconnect
from trio_beam import (
    BeamSearchConfig,
    Endpoint,
    MalformedResponse,
    RetryPolicy,
    SearchFailed,
    TrioTransport,
    beam_search,
)
from trio_beam.http.connection import Unasked

OTHER = PLAIN.replace(b"ok", b"no")
CONFIG = BeamSearchConfig(beam_width=1, n_per_beam=1, tokens_per_step=3, max_tokens=3, seed=1)


@both_ways
@pytest.mark.parametrize("other", [OTHER, b"\r\n" + OTHER, OTHER.replace(b"200", b"302")])
async def test_a_second_answer_with_the_first(ask: Ask, other: bytes) -> None:
    """Which of the two is the right one cannot be known."""

    async def handle(stream: trio.SocketStream, connection: int) -> None:
        await read_request(stream)
        await stream.send_all(PLAIN + other)
        await wait_for_disconnect(stream)

    with trio.fail_after(10):
        async with talk(ask, handle) as link:
            await link.fails(Unasked)
            assert link.transport.unasked == 1
            await link.fails(Unasked)
            assert link.server.connections == 1


@both_ways
async def test_a_second_answer_after_the_first(ask: Ask) -> None:
    async def handle(stream: trio.SocketStream, connection: int) -> None:
        await read_request(stream)
        await stream.send_all(PLAIN)
        await wait_all_tasks_blocked()
        await stream.send_all(OTHER)
        sent.set()
        await wait_for_disconnect(stream)

    sent = trio.Event()
    with trio.fail_after(10):
        async with talk(ask, handle) as link:
            assert (await link.get()).content == b"ok"
            await sent.wait()
            await link.fails(Unasked)
            assert link.transport.unasked == 1


@both_ways
async def test_an_answer_before_the_request(ask: Ask) -> None:
    """It is read before the client knows better; the next one is not."""

    async def handle(stream: trio.SocketStream, connection: int) -> None:
        await stream.send_all(OTHER)
        await read_request(stream)
        await stream.send_all(PLAIN)
        await wait_for_disconnect(stream)

    with trio.fail_after(10):
        async with talk(ask, handle) as link:
            with suppress(Unasked):
                await link.get()
            await wait_all_tasks_blocked()
            await link.fails(Unasked)


@both_ways
@pytest.mark.parametrize("junk", [TIRED, b"\r\n", b"x", b"]}", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_what_is_no_answer_costs_a_connection(ask: Ask, junk: bytes) -> None:
    async def handle(stream: trio.SocketStream, connection: int) -> None:
        await read_request(stream)
        await stream.send_all(PLAIN)
        await wait_all_tasks_blocked()
        await stream.send_all(junk)
        sent.set()
        await wait_for_disconnect(stream)

    sent = trio.Event()
    with trio.fail_after(10):
        async with talk(ask, handle) as link:
            for connections in 1, 2:
                assert (await link.get()).content == b"ok"
                await sent.wait()
                sent = trio.Event()
                assert link.server.connections == connections
            assert link.transport.unasked == 1


async def test_a_refusal_before_the_request_is_its_answer() -> None:
    """As of a server that has no place for another connection."""
    busy = b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\nconnection: close\r\n\r\nfull"

    async def handle(stream: trio.SocketStream, connection: int) -> None:
        await stream.send_all(busy)
        await wait_for_disconnect(stream)

    with trio.fail_after(10):
        async with raw_server(handle) as server, TrioTransport() as transport:
            response = await transport.handle_async_request(httpx.Request("GET", server.url))
            assert response.status_code == 503
            await response.aclose()


@pytest.mark.parametrize("junk", [OTHER, b"x", b""])
async def test_under_tls(junk: bytes) -> None:
    """Where what can be read is not yet data."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    sent = trio.Event()

    async def handle(stream: trio.SocketStream, connection: int) -> None:
        tls = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
        await read_request(tls)
        await tls.send_all(PLAIN)
        await wait_all_tasks_blocked()
        if junk:
            await tls.send_all(junk)
        sent.set()
        await read_request(tls)
        await tls.send_all(PLAIN)

    with trio.fail_after(10):
        async with (
            raw_server(handle) as server,
            TrioTransport(ssl_context=trusting) as transport,
        ):
            url = server.url.replace("http", "https")

            async def get() -> bytes:
                response = await transport.handle_async_request(httpx.Request("GET", url))
                return await response.aread()

            assert await get() == b"ok"
            await sent.wait()
            if junk == OTHER:
                with pytest.raises(Unasked):
                    await get()
            else:
                sent = trio.Event()
                with trio.move_on_after(5):
                    assert await get() == b"ok"
            assert transport.unasked == bool(junk)


def twice(later: bool) -> Callable[[trio.SocketStream, int], Awaitable[None]]:
    async def handle(stream: trio.SocketStream, connection: int) -> None:
        while True:
            answer = http_answer(completion(await read_request(stream)))
            await stream.send_all(answer if later else 2 * answer)
            if later:
                await wait_all_tasks_blocked()
                await stream.send_all(answer)

    return handle


@pytest.mark.parametrize("later", [True, False])
async def test_a_search_says_so_in_plain_words(later: bool) -> None:
    with trio.fail_after(10):
        async with raw_server(twice(later)) as server:
            endpoint = Endpoint(
                server.url, model="m", dialect="openai", retry=RetryPolicy(attempts=3)
            )
            async with endpoint:
                if later:
                    await beam_search(endpoint, "p", CONFIG)
                    await wait_all_tasks_blocked()
                with pytest.raises(SearchFailed, match="an answer that nobody asked for") as caught:
                    await beam_search(endpoint, "p", CONFIG)
                (failure,) = caught.value.failures
                assert type(failure.error) is MalformedResponse
                assert failure.attempts == 1
                assert endpoint.statistics().unasked == 1
            async with endpoint:  # entered again, it begins anew
                assert endpoint.statistics().unasked == 0
