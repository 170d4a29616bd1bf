"""httpx's features work on the single path: hooks, log lines, timeouts, status errors."""

from __future__ import annotations

import gzip
import json
import logging
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import attrs
import httpx
import pytest
import trio
from trio.testing import MockClock

from tests.servers.mock_server import MockServer, completion
from tests.servers.socket_server import (
    answer_forever,
    http_answer,
    raw_server,
    read_request,
    wait_for_disconnect,
)
from trio_beam import (
    AttemptTimeout,
    BeamSearchConfig,
    Endpoint,
    EndpointError,
    MalformedResponse,
    RateLimited,
    RequestRejected,
    RetryPolicy,
    SearchFailed,
    ServerError,
    TrioTransport,
    beam_search,
)
from trio_beam.http.content import supported_codings

CONFIG = BeamSearchConfig(
    beam_width=3, n_per_beam=1, tokens_per_step=2, max_tokens=6, seed=1, deduplicate=False
)
ONCE = RetryPolicy(attempts=1)


def open_endpoint(url: str = "http://mock/v1", **options: Any) -> Endpoint:
    return Endpoint(url, **{"model": "m", "dialect": "openai", "retry": ONCE, **options})


async def error_of(endpoint: Endpoint) -> EndpointError:
    with pytest.raises(SearchFailed) as caught:
        await beam_search(endpoint, "p", CONFIG)
    return caught.value.failures[0].error


# -- log lines and hooks


async def test_httpx_logs_each_request(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "httpx")
    with trio.fail_after(20):
        async with raw_server(answer_forever) as server:
            url = server.url.replace("://", "://user:hunter22@")
            async with open_endpoint(url, api_key="sk-secret") as endpoint:
                await beam_search(endpoint, "p", CONFIG)
    line = f'HTTP Request: POST {server.url}/completions "HTTP/1.1 200 OK"'
    assert [record.getMessage() for record in caplog.records if record.name == "httpx"] == [
        line
    ] * 7
    assert "secret" not in caplog.text
    assert "hunter22" not in caplog.text


async def test_hooks_see_requests_and_responses() -> None:
    seen: list[tuple[str, int]] = []

    async def sent(request: httpx.Request) -> None:
        request.headers["x-trace"] = f"{len(seen)}"
        seen.append((request.method, len(request.content)))

    async def came(response: httpx.Response) -> None:
        seen.append((response.headers["content-length"], response.status_code))

    heads: list[str] = []

    async def handle(stream: trio.SocketStream, number: int) -> None:
        while True:
            data = bytes(await stream.receive_some())
            if not data:
                return
            heads.append(data.partition(b"\r\n\r\n")[0].decode())
            body = json.loads(data.partition(b"\r\n\r\n")[2])
            await stream.send_all(http_answer(completion(body)))

    hooks: dict[str, list[Callable[..., Any]]] = {"request": [sent], "response": [came]}
    with trio.fail_after(20):
        async with (
            raw_server(handle) as server,
            httpx.AsyncClient(transport=TrioTransport(), event_hooks=hooks) as client,
            open_endpoint(server.url, http_client=client) as endpoint,
        ):
            await beam_search(endpoint, "p", CONFIG)
    assert len(seen) == 14
    assert {kind for kind, _ in seen if kind == "POST"} == {"POST"}
    assert all(size > 0 for kind, size in seen if kind == "POST")
    # A head that a hook changes is sent as it was changed.
    assert len({head.split("x-trace: ")[1].split("\r\n")[0] for head in heads}) == 7


@pytest.mark.parametrize("transport", [TrioTransport, httpx.AsyncHTTPTransport])
async def test_a_hook_may_read_the_response(
    transport: Callable[[], httpx.AsyncBaseTransport],
) -> None:
    sizes: list[int] = []

    async def read(response: httpx.Response) -> None:
        sizes.append(len(await response.aread()))

    with trio.fail_after(20):
        async with (
            raw_server(answer_forever) as server,
            httpx.AsyncClient(transport=transport(), event_hooks={"response": [read]}) as client,
            open_endpoint(server.url, http_client=client) as endpoint,
        ):
            assert (await beam_search(endpoint, "p", CONFIG)).rounds == 3
    assert len(sizes) == 7


STATUSES: dict[int, tuple[type[EndpointError], str]] = {
    400: (RequestRejected, "HTTP 400"),
    401: (RequestRejected, "is the API key right"),
    429: (RateLimited, "HTTP 429"),
    500: (ServerError, "HTTP 500"),
    503: (ServerError, "HTTP 503"),
    307: (RequestRejected, "redirects to http://mock/elsewhere; is the base URL right"),
}


@pytest.mark.parametrize("reads", [False, True], ids=["", "reads"])
@pytest.mark.parametrize("status", STATUSES)
async def test_a_status_error_of_a_hook_counts_as_its_status(status: int, reads: bool) -> None:
    async def strict(response: httpx.Response) -> None:
        if reads:
            await response.aread()
        response.raise_for_status()

    def answer(request: httpx.Request) -> httpx.Response:
        headers = {"retry-after": "7", "location": "/elsewhere"}
        return httpx.Response(status, headers=headers, stream=Pieces(b'{"error": "no ', b'luck"}'))

    kind, words = STATUSES[status]
    transport = httpx.MockTransport(answer)
    async with (
        httpx.AsyncClient(transport=transport, event_hooks={"response": [strict]}) as client,
        open_endpoint(http_client=client) as endpoint,
    ):
        error = await error_of(endpoint)
    assert type(error) is kind
    assert words in error.message
    assert error.url == "http://mock/v1/completions"
    if isinstance(error, (RateLimited, ServerError)) and status != 500:
        assert error.retry_after == 7
    if reads and status != 307:
        assert "no luck" in error.message


async def test_a_status_that_a_hook_raises_is_retried_as_the_status(
    autojump_clock: MockClock,
) -> None:
    limited = httpx.Response(429, headers={"retry-after": "30"})

    async def once(number: int, body: dict[str, Any]) -> httpx.Response | None:
        await trio.lowlevel.checkpoint()
        return limited if number == 0 else None

    async def strict(response: httpx.Response) -> None:
        response.raise_for_status()

    server = MockServer(once)
    async with (
        httpx.AsyncClient(
            transport=httpx.MockTransport(server.handle), event_hooks={"response": [strict]}
        ) as client,
        open_endpoint(http_client=client, retry=RetryPolicy(attempts=2)) as endpoint,
    ):
        assert (await beam_search(endpoint, "p", CONFIG)).usage.retries == 1
    assert server.times[1] - server.times[0] == 30


# -- a caller's client as it is


async def test_the_timeouts_of_a_callers_client_hold() -> None:
    async def hang(stream: trio.SocketStream, number: int) -> None:
        await read_request(stream)
        await wait_for_disconnect(stream)

    with trio.fail_after(20):
        for transport in (TrioTransport(), httpx.AsyncHTTPTransport()):
            timeout = httpx.Timeout(None, read=0.1)
            async with (
                raw_server(hang) as server,
                httpx.AsyncClient(transport=transport, timeout=timeout) as client,
                open_endpoint(server.url, http_client=client, attempt_timeout=None) as endpoint,
            ):
                error = await error_of(endpoint)
                await server.disconnected.wait()
            assert type(error) is AttemptTimeout
            assert "ReadTimeout of the http_client" in error.message


async def test_an_attempt_timeout_holds_beside_them() -> None:
    async def hang(stream: trio.SocketStream, number: int) -> None:
        await read_request(stream)
        await wait_for_disconnect(stream)

    with trio.fail_after(20):
        async with (
            raw_server(hang) as server,
            httpx.AsyncClient(transport=TrioTransport(), timeout=60) as client,
            open_endpoint(server.url, http_client=client, attempt_timeout=0.1) as endpoint,
        ):
            assert "attempt_timeout=0.1" in (await error_of(endpoint)).message
            await server.disconnected.wait()


async def test_a_callers_client_may_change_between_requests() -> None:
    server = MockServer(latency=0)
    async with (
        httpx.AsyncClient(
            transport=httpx.MockTransport(server.handle),
            headers={"x-token": "1", "authorization": "Bearer of-the-client"},
            cookies={"session": "a"},
        ) as client,
        open_endpoint(http_client=client, api_key="ours") as endpoint,
    ):
        await beam_search(endpoint, "p", attrs.evolve(CONFIG, max_tokens=2))
        client.headers["x-token"] = "2"
        client.cookies.set("session", "b")
        await beam_search(endpoint, "p", attrs.evolve(CONFIG, max_tokens=2))
    assert [headers["x-token"] for headers in server.headers] == ["1", "2"]
    assert server.headers[0]["cookie"] == "session=a"
    assert "session=b" in server.headers[1]["cookie"]
    assert {headers["authorization"] for headers in server.headers} == {"Bearer ours"}


class Pieces(httpx.AsyncByteStream):
    """A body that is not in memory yet."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.read = 0
        self.closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        if self.read == len(self.pieces):
            raise StopAsyncIteration
        self.read += 1
        return self.pieces[self.read - 1]

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate", ""])
async def test_a_bodys_limit_holds_with_a_callers_client(encoding: str) -> None:
    """However it is packed, and however small the pieces that it comes in."""
    packers = {
        "gzip": lambda: zlib.compressobj(9, zlib.DEFLATED, 31),
        "deflate": lambda: zlib.compressobj(9),
        "raw deflate": lambda: zlib.compressobj(9, zlib.DEFLATED, -15),
    }
    data = b" " * 2**20
    if encoding:
        packer = packers[encoding]()
        data = packer.compress(data) + packer.flush()
    body = Pieces(*(data[start : start + 64] for start in range(0, len(data), 64)))
    headers = {"content-encoding": encoding.rpartition(" ")[2]} if encoding else {}

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=headers, stream=body)

    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client,
        open_endpoint(http_client=client, max_answer_bytes=50_000) as endpoint,
    ):
        error = await error_of(endpoint)
    assert type(error) is MalformedResponse
    assert "longer than 50000 bytes" in error.message
    assert body.closed
    assert body.read < len(body.pieces)


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate"])
async def test_a_packed_body_with_a_callers_client(encoding: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["accept-encoding"] == "gzip, deflate"
        data = json.dumps(completion(json.loads(request.content))).encode()
        packed = gzip.compress(data) if "gzip" in encoding else zlib.compress(data)
        return httpx.Response(
            200, headers={"content-encoding": encoding}, stream=Pieces(packed[:9], packed[9:])
        )

    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client,
        open_endpoint(http_client=client) as endpoint,
    ):
        assert (await beam_search(endpoint, "p", CONFIG)).rounds == 3


@pytest.mark.parametrize(
    ("offered", "asked"),
    [
        ("gzip, deflate", "gzip, deflate"),
        ("gzip, deflate, br, zstd", "gzip, deflate"),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", "gzip;q=0.8"),
        ("identity", "identity"),
        ("", "identity"),
    ],
)
def test_only_what_can_be_unpacked_within_bounds_is_asked_for(offered: str, asked: str) -> None:
    assert supported_codings(offered) == asked


# -- an endpoint's own client


async def test_no_cookies_are_kept() -> None:
    heads: list[bytes] = []

    async def handle(stream: trio.SocketStream, number: int) -> None:
        while True:
            data = bytes(await stream.receive_some())
            if not data:
                return
            heads.append(data.partition(b"\r\n\r\n")[0].lower())
            body = json.loads(data.partition(b"\r\n\r\n")[2])
            cookie = "set-cookie: session=1; path=/\r\n"
            await stream.send_all(http_answer(completion(body), headers=cookie))

    with trio.fail_after(20):
        async with raw_server(handle) as server, open_endpoint(server.url) as endpoint:
            await beam_search(endpoint, "p", CONFIG)
    assert len(heads) == 7
    assert not any(b"cookie" in head for head in heads)


async def test_credentials_of_a_netrc_are_not_sent(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password pw\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    heads: list[bytes] = []

    async def handle(stream: trio.SocketStream, number: int) -> None:
        data = bytes(await stream.receive_some())
        heads.append(data.partition(b"\r\n\r\n")[0])
        body = json.loads(data.partition(b"\r\n\r\n")[2])
        await stream.send_all(http_answer(completion(body)))

    config = attrs.evolve(CONFIG, max_tokens=2)
    with trio.fail_after(20):
        async with raw_server(handle) as server:
            for key in ("ours", None):
                async with open_endpoint(server.url, api_key=key) as endpoint:
                    await beam_search(endpoint, "p", config)
    assert b"authorization: Bearer ours" in heads[0]
    assert b"authorization" not in heads[1].lower()


async def test_a_redirect_is_not_followed() -> None:
    async def handle(stream: trio.SocketStream, number: int) -> None:
        await read_request(stream)
        answer = http_answer(b"", status="307 Moved", headers="location: /v2/completions\r\n")
        await stream.send_all(answer)

    with trio.fail_after(20):
        async with raw_server(handle) as server, open_endpoint(server.url) as endpoint:
            error = await error_of(endpoint)
            assert server.connections == 1
    assert isinstance(error, RequestRejected)
    assert error.status == 307
    assert (
        f"redirects to {server.url[:-3]}/v2/completions; set the base URL to {server.url[:-3]}/v2"
        in (error.message)
    )
