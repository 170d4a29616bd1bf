"""An endpoint behind nginx: a proxy that compresses, limits, times out, and closes as it likes."""

from __future__ import annotations

import random
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import attrs
import httpx
import pytest
import trio
import trustme

from tests.e2e.asgi_app import App
from tests.e2e.peers import hypercorn, listening, needs_nginx, nginx
from tests.e2e.test_real_peers import (
    CONFIG,
    closed,
    connected_to,
    established,
    idle_connection,
    is_right,
    open_endpoint,
)
from tests.servers.socket_server import raw_server, read_request
from trio_beam import (
    ConnectionFailed,
    Endpoint,
    RateLimited,
    RequestRejected,
    RetryPolicy,
    SearchFailed,
    SearchResult,
    ServerError,
    beam_search,
)
from trio_beam.http import transport as transport_module
from trio_beam.http.transport import TrioTransport

pytestmark = needs_nginx
AUTHORITY = trustme.CA()
GZIP = "gzip on; gzip_min_length 1; gzip_proxied any; gzip_types application/json;"
KEPT_UPSTREAM = 'proxy_http_version 1.1; proxy_set_header connection "";'


@asynccontextmanager
async def proxied(directory: Path, **blocks: str) -> AsyncIterator[tuple[str, App, trio.Process]]:
    """nginx before Hypercorn."""
    app = App()
    with listening() as listener:
        async with (
            hypercorn(app, listener),
            nginx(directory, listener.getsockname()[1], **blocks) as (url, process),
        ):
            yield url, app, process


async def failure_of(endpoint: Endpoint, prompt: str = "p") -> SearchFailed:
    with pytest.raises(SearchFailed) as caught:
        await beam_search(endpoint, prompt, CONFIG)
    return caught.value


@pytest.mark.parametrize("location", ["", "proxy_buffering off;", KEPT_UPSTREAM])
async def test_connections_that_end_all_the_time(tmp_path: Path, location: str) -> None:
    http = GZIP + "keepalive_requests 3;"
    with trio.fail_after(20):
        async with (
            proxied(tmp_path, http=http, location=location) as (url, app, _),
            connected_to(url) as endpoint,
        ):
            for _ in range(5):
                await is_right(await beam_search(endpoint, "p", CONFIG), "p")
            assert app.requests == 45
            assert len(app.clients) == 15


async def test_idle_connections_that_end_while_they_are_taken(tmp_path: Path) -> None:
    """Some close just when a request is sent: that counts as no retry."""
    source = random.Random(5)
    with trio.fail_after(20):
        async with (
            proxied(tmp_path, http="keepalive_timeout 2ms;") as (url, app, _),
            connected_to(url) as endpoint,
        ):
            for _ in range(50):
                await is_right(await beam_search(endpoint, "p", CONFIG), "p")
                await trio.sleep(source.uniform(0, 0.002))
            assert app.requests == 450
            assert len(app.clients) > 30


async def test_idle_connections_that_have_ended(tmp_path: Path) -> None:
    with trio.fail_after(20):
        async with (
            proxied(tmp_path, http="keepalive_timeout 200ms;") as (url, app, _),
            connected_to(url) as endpoint,
        ):
            for _ in range(2):
                await is_right(await beam_search(endpoint, "p", CONFIG), "p")
                async with idle_connection(url) as idle:
                    await closed(idle)
            assert len(app.clients) == 6


@pytest.fixture
def tls(tmp_path: Path) -> str:
    """What nginx needs for a certificate by `AUTHORITY`."""
    certificate = AUTHORITY.issue_cert("localhost")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    return f"ssl_certificate {tmp_path}/cert.pem; ssl_certificate_key {tmp_path}/key.pem;"


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A context that trusts `AUTHORITY`; endpoints do so by default."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    monkeypatch.setattr(transport_module, "_default_ssl_context", lambda: context)
    return context


@pytest.mark.parametrize("own_client", [False, True])
async def test_tls(tmp_path: Path, own_client: bool, tls: str, trusted: ssl.SSLContext) -> None:
    http = GZIP + "keepalive_requests 3;"
    with trio.fail_after(20):
        async with AsyncExitStack() as stack:
            client = (
                httpx.AsyncClient(transport=TrioTransport(ssl_context=trusted))
                if own_client
                else None
            )
            if client is not None:
                await stack.enter_async_context(client)
            url, app, _ = await stack.enter_async_context(
                proxied(tmp_path, http=http, listen="ssl", server=tls)
            )
            endpoint = await stack.enter_async_context(open_endpoint(url, http_client=client))
            for _ in range(3):
                await is_right(await beam_search(endpoint, "p", CONFIG), "p")
            assert len(app.clients) == 9


async def test_two_hundred_requests_at_the_same_time(tmp_path: Path) -> None:
    config = attrs.evolve(CONFIG, beam_width=200, max_tokens=4)
    with trio.fail_after(20):
        async with (
            proxied(tmp_path, http=GZIP) as (url, app, _),
            connected_to(url, max_concurrent=200) as endpoint,
        ):
            app.together = 200
            await is_right(await beam_search(endpoint, "p", config), "p", config)
            assert len(app.clients) == 200
        assert established(url) == 0


async def test_a_limit_on_requests_per_second(tmp_path: Path) -> None:
    http = "limit_req_zone $binary_remote_addr zone=all:1m rate=100r/s;"
    server = "limit_req zone=all burst=2 nodelay; limit_req_status 429;"
    patient = RetryPolicy(attempts=100, wait_initial=0.01, wait_max=0.02)
    with trio.fail_after(20):
        async with (
            proxied(tmp_path, http=http, server=server) as (url, app, _),
            connected_to(url, retry=patient) as endpoint,
        ):
            result = await beam_search(endpoint, "p", CONFIG)
            await is_right(attrs.evolve(result, usage=attrs.evolve(result.usage, retries=0)), "p")
            assert app.requests == 9
            assert result.usage.retries == endpoint.statistics().retries > 0


async def test_a_limit_that_lasts(tmp_path: Path) -> None:
    http = "limit_req_zone $binary_remote_addr zone=all:1m rate=1r/m;"
    server = "limit_req zone=all; limit_req_status 429;"
    with trio.fail_after(20):
        async with (
            proxied(tmp_path, http=http, server=server) as (url, _, _),
            connected_to(url) as endpoint,
        ):
            failed = await failure_of(endpoint)
            assert isinstance(failed.failures[0].error, RateLimited)
            assert failed.failures[0].error.attempts == 2


async def test_an_upstream_that_is_down(tmp_path: Path) -> None:
    with trio.fail_after(20), socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        async with (
            nginx(tmp_path, nobody.getsockname()[1]) as (url, _),
            connected_to(url) as endpoint,
        ):
            error = (await failure_of(endpoint)).failures[0].error
    assert isinstance(error, ServerError)
    assert (error.status, error.attempts) == (502, 2)


async def test_an_upstream_that_is_too_slow(tmp_path: Path) -> None:
    with trio.fail_after(20):
        async with (
            proxied(tmp_path, location="proxy_read_timeout 50ms;") as (url, app, _),
            connected_to(url) as endpoint,
        ):
            error = (await failure_of(endpoint, "hang")).failures[0].error
            assert isinstance(error, ServerError)
            assert (error.status, error.attempts) == (504, 2)
            await app.gone.wait(app.arrived.value)


@pytest.mark.parametrize("location", ["", KEPT_UPSTREAM + "proxy_buffering off;"])
@pytest.mark.parametrize("head", ["content-length: 100", "transfer-encoding: chunked"])
async def test_an_upstream_that_breaks_off(tmp_path: Path, location: str, head: str) -> None:
    async def break_off(stream: trio.SocketStream, number: int) -> None:
        await read_request(stream)
        await stream.send_all(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\n{{".encode())

    with trio.fail_after(20):
        async with (
            raw_server(break_off) as upstream,
            nginx(tmp_path, upstream.port, location=location) as (url, _),
            connected_to(url) as endpoint,
        ):
            error = (await failure_of(endpoint)).failures[0].error
    assert isinstance(error, ConnectionFailed)
    assert error.attempts == 2


@pytest.mark.parametrize("listen", ["", "ssl"])
async def test_a_prompt_that_is_too_long_for_the_proxy(
    tmp_path: Path, listen: str, tls: str, trusted: ssl.SSLContext
) -> None:
    """nginx answers 413 at once, reads on for a while, and closes."""
    server = "client_max_body_size 1k;" + (tls if listen else "")
    with trio.fail_after(20):
        async with (
            proxied(tmp_path, server=server, listen=listen) as (url, app, _),
            connected_to(url) as endpoint,
        ):
            await beam_search(endpoint, "p", CONFIG)
            error = (await failure_of(endpoint, "long " * 2**20)).failures[0].error
            assert isinstance(error, RequestRejected)
            assert error.status == 413
            assert app.requests == 9


async def test_the_app_sees_a_cancelled_search_go(tmp_path: Path) -> None:
    with trio.fail_after(20):
        async with proxied(tmp_path) as (url, app, _), connected_to(url) as endpoint:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(beam_search, endpoint, "hang", CONFIG)
                await app.arrived.wait(3)
                nursery.cancel_scope.cancel()
            assert endpoint.statistics().open_connections == 0
            await app.gone.wait(3)


async def test_a_proxy_that_is_reloaded_during_a_search(tmp_path: Path) -> None:
    """Its old worker finishes the round, and closes what is idle; a new one takes the next."""
    found: list[SearchResult] = []
    with trio.fail_after(20):
        async with proxied(tmp_path) as (url, app, process), connected_to(url) as endpoint:
            async with trio.open_nursery() as nursery:

                async def search() -> None:
                    found.append(await beam_search(endpoint, "hold", CONFIG))

                await beam_search(endpoint, "p", CONFIG)
                nursery.start_soon(search)
                await app.arrived.wait(3)
                async with idle_connection(url) as idle:
                    process.send_signal(signal.SIGHUP)
                    await closed(idle)
                app.released.set()
            await is_right(found[0], "hold")
            assert len(app.clients) == 6


async def test_a_proxy_that_shuts_down_gracefully(tmp_path: Path) -> None:
    failed: list[SearchFailed] = []
    with trio.fail_after(20):
        async with proxied(tmp_path) as (url, app, process), connected_to(url) as endpoint:
            async with trio.open_nursery() as nursery:

                async def search() -> None:
                    failed.append(await failure_of(endpoint, "hold"))

                nursery.start_soon(search)
                await app.arrived.wait(3)
                async with idle_connection(url) as idle:
                    process.send_signal(signal.SIGQUIT)
                    await closed(idle)
                app.released.set()
            await process.wait()
    assert isinstance(failed[0].failures[0].error, ConnectionFailed)
    assert [beam.length for beam in failed[0].partial.beams] == [2, 2, 2]
