"""Clients that are wrong, slow, greedy or foreign: refused or cut off, and the server lives."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import h2.connection
import h2.events
import pytest
import trio
import trio.testing

from tests.gateway.serving import FakeServer, ask, connected, gateway_over, post, serving
from trio_beam import ConnectionFailed
from trio_beam.gateway import server
from trio_beam.gateway.app import Gateway
from trio_beam.gateway.limits import Limits
from trio_beam.testing import FakeEndpoint, ScriptedModel

BODY: dict[str, Any] = {
    "model": "m@greedy",
    "messages": [{"role": "user", "content": "the secret prompt"}],
    "max_tokens": 3,
}
PATH = "/v1/chat/completions"


@asynccontextmanager
async def alive(**options: Any) -> AsyncIterator[str]:
    """A gateway that must still answer at the end."""
    async with serving(gateway_over(FakeEndpoint(), **options)) as url:
        yield url
        headers = {"authorization": f"Bearer {options['keys'][0]}"} if options.get("keys") else {}
        assert (await ask(url, "POST", PATH, BODY, **headers)).status_code == 200


async def answer_to(url: str, data: bytes) -> bytes:
    """All that comes back on a connection; b"" if it is closed without a word."""
    received = b""
    async with connected(url) as connection:
        try:
            await connection.send_all(data)
            while part := await connection.receive_some():
                received += part
                if b"\r\n\r\n" in received and b"}" in received:
                    break
        except trio.BrokenResourceError:
            pass
    return received


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x00\x00", b"400"),
        (b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 40_000, b"431"),
        (b"GET /health HTTP/1.1\r\nhost: localhost\r\n" + b"a: b\r\n" * 20_000, b"431"),
        (post(PATH, b"{"), b"400"),
        (post(PATH, b"", "transfer-encoding: chunked"), b"400"),
        (post(PATH, b"x", "content-length: 7"), b"400"),
        (post(PATH, b"x" * 3000), b"413"),
        (post(PATH, b"", "content-length: 99999999999999999999999999"), b"4"),
        (post(PATH, b"{}", "content-encoding: gzip"), b"415"),
    ],
)
async def test_bad_requests(data: bytes, status: bytes) -> None:
    async with alive(limits=Limits(max_body=2000)) as url:
        received = await answer_to(url, data)
        assert received == b"" or received.split()[1].startswith(status), received


async def test_a_body_that_never_ends() -> None:
    async with alive(limits=Limits(max_body=2000)) as url:
        head = f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
        chunk = b"400\r\n" + b"a" * 1024 + b"\r\n"
        received = await answer_to(url, head.encode() + chunk * 2)
        assert received.split()[1] == b"413"


async def test_a_body_that_does_not_come() -> None:
    async with alive(limits=Limits(max_send_time=0.2)) as url:
        received = await answer_to(url, post(PATH, BODY)[:-5])
        assert received.split()[1] == b"408"
        assert b"did not come within 0.2 s" in received


async def test_a_head_that_does_not_come() -> None:
    async with alive(limits=Limits(max_send_time=0.2)) as url:
        assert await answer_to(url, b"GET /v1/models HTTP/1.1\r\nhost: loc") == b""


async def test_who_goes_while_sending_the_body() -> None:
    async with alive() as url:
        for cut in (1, 40, 150):
            async with connected(url) as connection:
                await connection.send_all(post(PATH, BODY)[:-cut])


async def test_a_connection_ends_with_its_client() -> None:
    """It is not kept for as long as an idle one."""
    gateway = gateway_over(FakeEndpoint(), limits=Limits(max_send_time=1000.0))
    async with serving(gateway, seconds=20) as url, connected(url) as connection:
        await connection.send_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        while b"}" not in await connection.receive_some():
            pass
        await connection.send_eof()
        assert await connection.receive_some() == b""


async def test_a_client_that_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection is ended, although Hypercorn shields its writes."""
    monkeypatch.setattr(server, "_MAX_UNREAD", 1.0)
    gateway = gateway_over(ScriptedModel([f"{n} " + "w" * 100_000 for n in range(8)]))
    async with serving(gateway, send_buffer=4096) as url, connected(url) as connection:
        await connection.send_all(post(PATH, {**BODY, "model": "m@best-8", "n": 8}))
        while b'trio_beam_requests_total{call="chat"' not in gateway.metrics.page():  # noqa: ASYNC110
            await trio.sleep(0.05)
        assert (await ask(url, "GET", "/health")).status_code == 200


async def test_a_client_that_reads_nothing_does_not_outlast_the_gateway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "_MAX_UNREAD", 60.0)
    monkeypatch.setattr(server, "_LAST_WORDS", 0.1)
    gateway = gateway_over(ScriptedModel([f"{n} " + "w" * 100_000 for n in range(8)]))
    async with (
        AsyncExitStack() as afterwards,
        serving(gateway, grace=0, send_buffer=4096, seconds=30) as url,
    ):
        connection = await afterwards.enter_async_context(connected(url))
        await connection.send_all(post(PATH, {**BODY, "model": "m@best-8", "n": 8}))
        while b"request_seconds_count" not in gateway.metrics.page():  # noqa: ASYNC110
            await trio.sleep(0.05)


@pytest.mark.parametrize("cut", [3, 100])
async def test_http_2_is_refused(cut: int) -> None:
    """Streams in it that are not read would be kept for ever."""
    http2 = h2.connection.H2Connection()
    http2.initiate_connection()
    fields = {":method": "GET", ":path": "/health", ":scheme": "http", ":authority": "localhost"}
    http2.send_headers(1, list(fields.items()), end_stream=True)
    data, found = http2.data_to_send(), dict[bytes, bytes]()
    async with alive() as url, connected(url) as connection:
        await connection.send_all(data[:cut])
        await trio.testing.wait_all_tasks_blocked(0.02)
        await connection.send_all(data[cut:])
        ended = False
        while not ended and (received := await connection.receive_some()):
            for event in http2.receive_data(received):
                ended = ended or isinstance(event, h2.events.StreamEnded)
                if isinstance(event, h2.events.ResponseReceived):
                    found |= dict(event.headers)
    assert found.get(b":status") == (b"505" if cut == 3 else None)


async def test_an_offer_to_go_over_to_http_2_is_not_taken() -> None:
    offer = "connection: Upgrade, HTTP2-Settings, close\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk"
    async with alive() as url:
        received = await answer_to(
            url, f"GET /health HTTP/1.1\r\nhost: localhost\r\n{offer}\r\n\r\n".encode()
        )
    assert received.startswith(b"HTTP/1.1 200")


async def test_keys() -> None:
    keys = ("first-key-1234", "second-key-5678")
    async with alive(keys=keys) as url:
        for key in keys:
            for scheme in ("Bearer", "bearer"):
                found = await ask(url, "GET", "/v1/models", authorization=f"{scheme} {key}")
                assert found.status_code == 200
        for given in ({}, {"authorization": "Bearer first-key-123"}, {"authorization": keys[0]}):
            for path in ("/v1/models", "/metrics", "/openapi.json", "/nothing"):
                found = await ask(url, "GET", path, **given)
                assert found.status_code == 401
                assert found.json()["error"]["code"] == "invalid_api_key"
        assert (await ask(url, "GET", "/health")).status_code == 200


@pytest.mark.parametrize("name", ["host", "origin"])
async def test_web_pages_do_not_come_in_without_a_key(name: str) -> None:
    async with alive(hosts=("127.0.0.1", "localhost", "::1")) as url:
        for foreign in ("evil.example", "http://evil.example:80", "null", "[::"):
            found = await ask(url, "GET", "/v1/models", **{name: foreign})
            assert found.status_code in (400, 403)
        for ours in ("localhost:3000", "127.0.0.1"):
            assert (await ask(url, "GET", "/v1/models", **{name: ours})).status_code == 200


async def test_request_ids() -> None:
    async with alive() as url:
        given = await ask(url, "POST", PATH, BODY, x_request_id="my-id.7")
        assert given.headers["x-request-id"] == "my-id.7"
        for odd in ("a b", "x" * 200, "<script>"):
            found = await ask(url, "GET", "/nothing", x_request_id=odd)
            assert found.headers["x-request-id"] != odd
            assert found.headers["x-request-id"]


async def test_other_paths_and_methods() -> None:
    async with alive() as url:
        for method, path, status in (
            ("GET", "/", 404),
            ("GET", PATH, 405),
            ("PUT", PATH, 405),
            ("POST", "/v1/embeddings", 404),
            ("POST", PATH + "/", 404),
        ):
            found = await ask(url, method, path)
            assert found.status_code == status
            assert found.json()["error"]["message"]


async def test_health() -> None:
    there, lost = FakeServer(FakeEndpoint()), FakeServer(FakeEndpoint())
    lost.error = ConnectionFailed("refused")
    async with serving(gateway_over(lost)) as url:
        assert (await ask(url, "GET", "/health")).status_code == 200
        assert (await ask(url, "POST", PATH, BODY)).status_code == 502
        found = await ask(url, "GET", "/health")
        assert (found.status_code, found.json()["lost"]) == (503, 1)
        lost.error = None
        assert (await ask(url, "POST", PATH, BODY)).status_code == 200
        assert (await ask(url, "GET", "/health")).status_code == 200
    async with serving(gateway_over(there, lost)) as url:
        assert (await ask(url, "GET", "/health")).json()["servers"] == 2


async def test_a_bug_is_shown_on_standard_error_without_the_prompt(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def broken(request: object) -> None:
        raise LookupError("a bug")

    async with serving(gateway_over(FakeEndpoint(before=broken))) as url:
        found = await ask(url, "POST", PATH, BODY, x_request_id="the-id")
        assert found.status_code == 500
        assert found.json()["error"]["type"] == "server_error"
        assert (await ask(url, "GET", "/health")).status_code == 200
    said = capsys.readouterr().err
    assert "request the-id failed" in said
    assert "LookupError: a bug" in said
    assert "secret" not in said


async def test_nothing_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    async with alive(keys=("a-key-of-mine",)) as url:
        await ask(url, "POST", PATH, {**BODY, "n": 7}, authorization="Bearer a-key-of-mine")
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


async def searches_at_once(gateway: Gateway, url: str, count: int) -> dict[int, int]:
    """Ask so many times at once; returns how often each status came back."""
    found: dict[int, int] = {}

    async def one() -> None:
        head, _, body = (await answer_to(url, post(PATH, BODY, "connection: close"))).partition(
            b"\r\n\r\n"
        )
        status = int(head.split()[1])
        found[status] = found.get(status, 0) + 1
        if status == 429:
            assert b"retry-after: 2" in head
            assert b"too_many_searches" in body
        assert gateway.admission.running <= gateway.limits.max_searches

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(one)
    return found


async def test_too_many_searches_are_refused_and_all_are_answered() -> None:
    gateway = gateway_over(FakeEndpoint(latency=0.02), limits=Limits(max_searches=8))
    async with serving(gateway) as url:
        found = await searches_at_once(gateway, url, 200)
    assert found.keys() <= {200, 429}
    assert sum(found.values()) == 200
    assert found[200] >= 72
