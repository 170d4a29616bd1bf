"""Proxies: those of the environment for an endpoint's own client, and any for the transport."""

from __future__ import annotations

import ssl

import httpx
import pytest
import trio

from tests.http.test_tls import tls_server, trusting
from tests.servers.proxy_server import proxy_server
from tests.servers.socket_server import (
    answer_forever,
    raw_server,
    read_request,
    wait_for_disconnect,
)
from trio_beam import (
    BeamSearchConfig,
    ConfigError,
    Endpoint,
    RetryPolicy,
    SearchFailed,
    TrioTransport,
    beam_search,
    beam_search_within,
)
from trio_beam.http.clients import environment_proxy

CONFIG = BeamSearchConfig(
    beam_width=3, n_per_beam=1, tokens_per_step=2, max_tokens=6, seed=1, deduplicate=False
)
ONCE = RetryPolicy(attempts=1)
HOST = "model.example"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def open_endpoint(url: str, **options: object) -> Endpoint:
    return Endpoint(url, model="m", dialect="openai", retry=ONCE, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_a_search_through_the_proxy_of_the_environment(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trio.fail_after(20):
        async with raw_server(answer_forever) as server, proxy_server(server.port) as proxy:
            monkeypatch.setenv(name, proxy.url.replace("://", "://me:pass%40word@"))
            async with open_endpoint(f"http://{HOST}/v1", api_key="k") as endpoint:
                result = await beam_search(endpoint, "p", CONFIG)
                assert result.rounds == 3
                assert endpoint.statistics().open_connections == 3  # kept, as without a proxy
            assert endpoint.statistics().open_connections == 0
            await server.empty.wait()
    assert proxy.lines == [b"POST http://model.example/v1/completions HTTP/1.1"] * 3
    for head in proxy.heads:
        assert b"\r\nHost: model.example\r\n" in head
        assert b"Proxy-Authorization: Basic bWU6cGFzc0B3b3Jk" in head
        assert b"authorization: Bearer k" in head


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_the_loopback_is_never_proxied(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with trio.fail_after(20):
        async with (
            raw_server(answer_forever) as server,
            open_endpoint(f"http://{host}:{server.port}/v1") as endpoint,
        ):
            assert (await beam_search(endpoint, "p", CONFIG)).rounds == 3


PROXY, OTHER = "http://proxy.example:3128", "http://other.example:1"
#: The environment, a URL, and the proxy for it.
READ = [
    ({}, "http://a.example/v1", None),
    ({"HTTP_PROXY": PROXY}, "http://a.example/v1", PROXY),
    ({"HTTP_PROXY": "proxy.example:3128"}, "http://a.example/v1", PROXY),
    ({"HTTP_PROXY": PROXY}, "https://a.example/v1", None),
    ({"HTTPS_PROXY": PROXY}, "https://a.example/v1", PROXY),
    ({"ALL_PROXY": PROXY}, "https://a.example/v1", PROXY),
    ({"ALL_PROXY": OTHER, "HTTPS_PROXY": PROXY}, "https://a.example/v1", PROXY),
    ({"ALL_PROXY": PROXY, "NO_PROXY": "a.example"}, "http://a.example/v1", None),
    ({"ALL_PROXY": PROXY, "NO_PROXY": "example"}, "http://a.example/v1", None),
    ({"ALL_PROXY": PROXY, "NO_PROXY": ".a.example"}, "http://a.example/v1", PROXY),
    ({"ALL_PROXY": PROXY, "NO_PROXY": "b.example, 192.0.2.1"}, "http://192.0.2.1/v1", None),
    ({"ALL_PROXY": PROXY, "NO_PROXY": "*"}, "http://a.example/v1", None),
    ({"ALL_PROXY": PROXY}, "http://192.0.2.1/v1", PROXY),
    *[
        ({"ALL_PROXY": PROXY}, f"http://{host}:8000/v1", None)
        for host in ("127.0.0.1", "127.8.9.10", "[::1]", "localhost", "LOCALHOST", "localhost.")
    ],
]


@pytest.mark.parametrize(("environment", "url", "proxy"), READ)
def test_the_environment_is_read_as_httpx_reads_it(
    environment: dict[str, str], url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert environment_proxy(url) == proxy


async def test_a_proxy_that_cannot_be_used_is_said_when_the_endpoint_is_entered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://user:secret@127.0.0.1:1080")
    endpoint = open_endpoint(f"http://{HOST}/v1")
    with pytest.raises(ConfigError, match=r"^proxy must be an HTTP proxy") as caught:
        await endpoint.__aenter__()
    assert "secret" not in str(caught.value)
    async with open_endpoint("http://127.0.0.1:1/v1"):
        pass


REFUSED = {
    "refuses": b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n",
    "is no proxy": b"220 smtp.example.org ESMTP\r\n\r\n",
    "hangs up": b"HTTP/1.1 ",
}


@pytest.mark.parametrize("refusal", REFUSED.values(), ids=REFUSED)
async def test_a_tunnel_that_is_refused(refusal: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with trio.fail_after(20):
        async with proxy_server(1, refusal) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
            async with open_endpoint(f"https://{HOST}/v1") as endpoint:
                with pytest.raises(SearchFailed, match=r"cannot connect: ") as caught:
                    await beam_search(endpoint, "p", CONFIG)
                assert endpoint.statistics().open_connections == 0
            await proxy.raw[0].empty.wait()
    assert ("the proxy answered 407" in str(caught.value)) == (b"407" in refusal)
    assert proxy.lines == [b"CONNECT model.example:443 HTTP/1.1"]


async def test_a_search_over_tls_through_a_tunnel() -> None:
    with trio.fail_after(20):
        async with tls_server(HOST) as port, proxy_server(port) as proxy:
            given = httpx.Proxy(proxy.url, auth=("me", "pw"), headers={"x-for-the-proxy": "1"})
            transport = TrioTransport(ssl_context=trusting(), proxy=given)
            async with (
                httpx.AsyncClient(transport=transport, timeout=None) as client,
                open_endpoint(f"https://{HOST}/v1", http_client=client) as endpoint,
            ):
                assert (await beam_search(endpoint, "p", CONFIG)).rounds == 3
                assert transport.open_connections == 3
            assert transport.open_connections == 0
    assert proxy.lines == [b"CONNECT model.example:443 HTTP/1.1"] * 3
    assert all(b"Proxy-Authorization: Basic bWU6cHc=" in head for head in proxy.heads)
    assert all(b"x-for-the-proxy: 1" in head for head in proxy.heads)


async def test_a_certificate_is_checked_through_a_tunnel_too() -> None:
    with trio.fail_after(20):
        async with tls_server("other.example") as port, proxy_server(port) as proxy:
            transport = TrioTransport(ssl_context=trusting(), proxy=proxy.url)
            async with (
                httpx.AsyncClient(transport=transport, timeout=None) as client,
                open_endpoint(f"https://{HOST}/v1", http_client=client) as endpoint,
            ):
                with pytest.raises(SearchFailed, match="certificate verify failed"):
                    await beam_search(endpoint, "p", CONFIG)
                assert transport.open_connections == 0


async def test_a_proxy_that_is_spoken_to_over_tls() -> None:
    """A server that answers whole URLs is all the proxy that this needs."""
    with trio.fail_after(20):
        async with tls_server("localhost") as port:
            proxy = httpx.Proxy(f"https://localhost:{port}", ssl_context=trusting())
            async with (
                httpx.AsyncClient(transport=TrioTransport(proxy=proxy), timeout=None) as client,
                open_endpoint(f"http://{HOST}/v1", http_client=client) as endpoint,
            ):
                assert (await beam_search(endpoint, "p", CONFIG)).rounds == 3


async def test_nothing_is_left_when_a_tunnel_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = trio.Event()

    async def hang(stream: trio.SocketStream, number: int) -> None:
        await stream.receive_some()
        asked.set()
        await wait_for_disconnect(stream)

    with trio.fail_after(20):
        async with raw_server(hang) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
            async with open_endpoint(f"https://{HOST}/v1") as endpoint:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(beam_search, endpoint, "p", CONFIG)
                    await asked.wait()
                    nursery.cancel_scope.cancel()
                assert endpoint.statistics().open_connections == 0
                await proxy.disconnected.wait()


async def test_the_connect_timeout_holds_for_the_way_past_a_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def hang(stream: trio.SocketStream, number: int) -> None:
        await wait_for_disconnect(stream)

    with trio.fail_after(20):
        async with raw_server(hang) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
            async with open_endpoint(f"https://{HOST}/v1", connect_timeout=0.1) as endpoint:
                with pytest.raises(SearchFailed, match=r"no connection within 0.1 s"):
                    await beam_search(endpoint, "p", CONFIG)
                assert endpoint.statistics().open_connections == 0


async def test_a_search_that_is_cancelled_behind_a_proxy_is_seen_to_go() -> None:
    async def hang(stream: trio.SocketStream, number: int) -> None:
        await read_request(stream)
        await wait_for_disconnect(stream)

    with trio.fail_after(20):
        async with raw_server(hang) as server, proxy_server(server.port) as proxy:
            transport = TrioTransport(proxy=proxy.url)
            async with (
                httpx.AsyncClient(transport=transport, timeout=None) as client,
                open_endpoint(f"http://{HOST}/v1", http_client=client) as endpoint,
            ):
                result = await beam_search_within(0.2, endpoint, "p", CONFIG)
                assert result.stop_reason == "deadline"
                assert transport.open_connections == 0
                await server.disconnected.wait()


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", httpx.Proxy("socks5h://127.0.0.1:1")])
def test_a_transport_takes_http_proxies_only(proxy: str | httpx.Proxy) -> None:
    with pytest.raises(ConfigError, match=r"^proxy must be"):
        TrioTransport(ssl_context=ssl.create_default_context(), proxy=proxy)
