"""TLS on real sockets, with an authority made for the test."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import trio
import trustme

from tests.servers.mock_server import completion
from tests.servers.socket_server import http_answer, read_request, wait_for_disconnect
from trio_beam import BeamSearchConfig, Endpoint, RetryPolicy, SearchFailed, beam_search
from trio_beam.http.transport import TrioTransport

CONFIG = BeamSearchConfig(
    beam_width=3, n_per_beam=1, tokens_per_step=2, max_tokens=6, seed=1, deduplicate=False
)
AUTHORITY = trustme.CA()


@asynccontextmanager
async def tls_server(host: str = "localhost") -> AsyncIterator[int]:
    """A server that answers over TLS; yields its port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert(host).configure_cert(context)

    async def serve(raw: trio.SocketStream) -> None:
        stream = trio.SSLStream(raw, context, server_side=True, https_compatible=True)
        try:
            while True:
                body = await read_request(stream)
                await stream.send_all(http_answer(completion(body)))
        except (trio.BrokenResourceError, ssl.SSLError):
            pass

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


async def test_a_search_over_tls() -> None:
    with trio.fail_after(20):
        async with tls_server() as port:
            transport = TrioTransport(ssl_context=trusting())
            async with (
                httpx.AsyncClient(transport=transport) as client,
                Endpoint(
                    f"https://localhost:{port}/v1", model="m", dialect="openai", http_client=client
                ) as endpoint,
            ):
                result = await beam_search(endpoint, "p", CONFIG)
                assert result.rounds == 3
                assert transport.open_connections == 3  # kept, and used again
            assert transport.open_connections == 0


@pytest.mark.parametrize("host", ["localhost", "other.example"])
@pytest.mark.parametrize("ours", [True, False])
async def test_a_certificate_that_is_not_trusted(host: str, ours: bool) -> None:
    """By default nobody trusts this authority; with trust, the name must be right. No retry could help."""
    context = None if host == "localhost" else trusting()
    with trio.fail_after(20):
        async with tls_server(host) as port:
            transport = (
                TrioTransport(ssl_context=context)
                if ours
                else httpx.AsyncHTTPTransport(verify=True if context is None else context)
            )
            async with (
                httpx.AsyncClient(transport=transport) as client,
                Endpoint(
                    f"https://localhost:{port}/v1",
                    model="m",
                    dialect="openai",
                    http_client=client,
                    retry=RetryPolicy(attempts=3, wait_initial=60, wait_max=60),
                ) as endpoint,
            ):
                with pytest.raises(
                    SearchFailed, match=r"cannot connect: .*certificate verify"
                ) as caught:
                    await beam_search(endpoint, "p", CONFIG)
                assert caught.value.failures[0].attempts == 1
                if isinstance(transport, TrioTransport):
                    assert transport.open_connections == 0


async def test_a_handshake_that_hangs_ends_with_the_connect_timeout() -> None:
    with trio.fail_after(20):
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        gone = trio.Event()

        async def hang(stream: trio.SocketStream) -> None:
            try:
                await wait_for_disconnect(stream)
            except trio.BrokenResourceError:
                gone.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, hang, listeners)
            async with Endpoint(
                f"https://localhost:{port}/v1",
                model="m",
                dialect="openai",
                connect_timeout=0.2,
                retry=RetryPolicy(attempts=1),
            ) as endpoint:
                with pytest.raises(SearchFailed, match=r"no connection within 0.2 s"):
                    await beam_search(endpoint, "p", CONFIG)
                assert endpoint.statistics().open_connections == 0
                await gone.wait()
            nursery.cancel_scope.cancel()


async def test_https_to_a_server_that_speaks_http_says_so() -> None:
    async def plain(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")

    with trio.fail_after(20):
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, plain, listeners)
            async with Endpoint(
                f"https://127.0.0.1:{port}/v1",
                model="m",
                dialect="openai",
                retry=RetryPolicy(attempts=1),
            ) as endpoint:
                with pytest.raises(SearchFailed, match=r"does not speak TLS \(https\) there"):
                    await beam_search(endpoint, "p", CONFIG)
            nursery.cancel_scope.cancel()
