"""The bytes of a request as they arrive at the server: one well-formed request, or nothing."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import h11
import httpx
import pytest
import trio
from hypothesis import example, given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from tests.dialects.strategies import unhurried
from tests.http.talk import PLAIN, TIRED, Ask, Talk, as_httpx_does, both_ways, run, send, talk
from tests.servers.socket_server import (
    RawServer,
    raw_server,
    read_request,
    wait_for_disconnect,
)
from trio_beam.http.transport import TrioTransport


class Recorder:
    """A server that answers everything and keeps what it was sent last."""

    def __init__(self, answer: bytes = PLAIN) -> None:
        self.answer = answer
        self.raw = b""
        self.head: h11.Request | None = None
        self.content = b""

    async def handle(self, stream: trio.SocketStream, connection: int) -> None:
        while True:
            await self._read(stream)
            await stream.send_all(self.answer)

    async def _read(self, stream: trio.SocketStream) -> None:
        """One whole request, and nothing behind it."""
        protocol = h11.Connection(h11.SERVER)
        raw, content = b"", b""
        while not isinstance(event := protocol.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Request):
                self.head = event
            elif isinstance(event, h11.Data):
                content += event.data
            else:
                received = bytes(await stream.receive_some())
                if not received:
                    raise trio.BrokenResourceError
                raw += received
                protocol.receive_data(received)
        assert protocol.trailing_data == (b"", False)
        self.raw, self.content = raw, content

    def values(self, name: bytes) -> list[bytes]:
        assert self.head is not None
        return [value for key, value in self.head.headers if key == name]


@asynccontextmanager
async def client_of(recorder: Recorder) -> AsyncIterator[tuple[httpx.AsyncClient, RawServer]]:
    async with (
        talk(as_httpx_does, recorder.handle) as link,
        httpx.AsyncClient(transport=link.transport, timeout=None, trust_env=False) as client,
    ):
        yield client, link.server


async def in_parts(parts: Sequence[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


methods = st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])


@given(methods, st.lists(st.binary(max_size=3000), max_size=4), st.booleans())
@unhurried(50)
def test_a_body_arrives_as_it_is(method: str, parts: list[bytes], streamed: bool) -> None:
    content: Any = in_parts(parts) if streamed else b"".join(parts)

    async def check() -> None:
        recorder = Recorder()
        async with client_of(recorder) as (client, server):
            assert (await client.request(method, server.url, content=content)).text == "ok"
            assert recorder.raw.startswith(f"{method} /v1 HTTP/1.1\r\n".encode())
            assert recorder.content == b"".join(parts)
            assert recorder.values(b"host") == [f"127.0.0.1:{server.port}".encode()]
            lengths = recorder.values(b"content-length")
            if streamed:
                assert recorder.values(b"transfer-encoding") == [b"chunked"]
                assert lengths == []
            elif method in {"POST", "PUT", "PATCH"} or recorder.content:
                assert lengths == [b"%d" % len(recorder.content)]
                assert recorder.raw.endswith(b"\r\n\r\n" + recorder.content)

    run(check)


@given(st.lists(st.binary(max_size=3000) | st.none(), min_size=1, max_size=4))
@unhurried(30)
def test_a_request_that_is_the_same_but_for_its_body(bodies: list[bytes | None]) -> None:
    """Its head is rendered once; the length comes last."""

    async def check() -> None:
        recorder = Recorder()
        async with talk(as_httpx_does, recorder.handle) as link:
            url = f"{link.server.url}/x y"
            line = b"POST /v1/x%20y HTTP/1.1\r\n"
            host = b"Host: 127.0.0.1:%d\r\n" % link.server.port
            for body in bodies:
                request = httpx.Request("POST", url, headers={"x-a": "b"}, content=body or b"")
                if body is None:
                    del request.headers["content-length"]
                await as_httpx_does(link.transport, request)
                length = b"" if body is None else b"content-length: %d\r\n" % len(body)
                assert recorder.raw == b"".join(
                    [line, host, b"x-a: b\r\n", length, b"\r\n", body or b""]
                )
            assert link.server.connections == 1

    run(check)


@pytest.mark.parametrize("length", ["3", "5", "4, 4", "+4", "04"])
async def test_a_length_that_is_not_the_bodys_is_not_sent(length: str) -> None:
    """Or it is said as it should be."""
    recorder = Recorder()
    with trio.fail_after(10):
        async with talk(as_httpx_does, recorder.handle) as link:
            request = httpx.Request("POST", link.server.url, content=b"body")
            request.headers["content-length"] = length
            try:
                await as_httpx_does(link.transport, request)
            except httpx.LocalProtocolError:
                assert recorder.raw == b""
            else:
                assert recorder.values(b"content-length") in ([b"4"], [b"04"])
                assert recorder.content == b"body"


@given(st.text(st.characters(codec="utf-8"), max_size=40) | st.text("/?#%& \\\"'<>[]{}é"))
@unhurried(50)
def test_a_path_arrives_as_the_url_has_it(path: str) -> None:
    async def check() -> None:
        recorder = Recorder()
        async with client_of(recorder) as (client, server):
            try:
                url = httpx.URL(f"{server.url}/{path}")
            except httpx.InvalidURL:
                return
            await client.get(url)
            assert recorder.head is not None
            assert recorder.head.target == url.raw_path
            assert re.fullmatch(rb"GET /[!-~]* HTTP/1\.1", recorder.raw.split(b"\r\n")[0])

    run(check)


@both_ways
@given(value=st.binary(max_size=20) | st.text("a \t\r\n\0:é").map(str.encode))
@unhurried(60)
@example(value=b"a\r\nx-other: b")
@example(value=b"a\nx-other: b")
def test_a_header_arrives_as_it_is_or_not_at_all(ask: Ask, value: bytes) -> None:
    allowed = not set(value) & set(b"\r\n\0\f\v") and value == value.strip(b" \t")

    async def check() -> None:
        recorder = Recorder()
        async with talk(ask, recorder.handle) as link:
            request = httpx.Request("GET", link.server.url, headers=[(b"x-value", value)])
            if allowed:
                await ask(link.transport, request)
                assert recorder.values(b"x-value") == [value]
            else:
                with pytest.raises(httpx.LocalProtocolError):
                    await ask(link.transport, request)
                assert recorder.raw == b""
                assert link.transport.open_connections == 0

    run(check)


HOSTS = {
    "http://example.com/": ("example.com", 80, b"example.com"),
    "http://EXAMPLE.com:80/": ("example.com", 80, b"example.com"),
    "http://example.com:8080/": ("example.com", 8080, b"example.com:8080"),
    "http://127.0.0.1/": ("127.0.0.1", 80, b"127.0.0.1"),
    "http://[::1]/": ("::1", 80, b"[::1]"),
    "http://[::1]:443/": ("::1", 443, b"[::1]:443"),
    "http://[2001:db8::7]:9/": ("2001:db8::7", 9, b"[2001:db8::7]:9"),
    "http://bücher.example/": ("xn--bcher-kva.example", 80, b"xn--bcher-kva.example"),
}


class Elsewhere(trio.abc.HostnameResolver, trio.abc.SocketFactory):
    """Leads every connection to one port, and keeps what it was to be."""

    ADDRESS = "192.0.2.1"

    def __init__(self, port: int) -> None:
        self.port = port
        self.name = ""
        self.dialled: list[tuple[str, int]] = []
        trio.socket.set_custom_hostname_resolver(self)
        trio.socket.set_custom_socket_factory(self)

    async def getaddrinfo(self, host: bytes | None, port: Any, *args: int) -> Any:
        assert host is not None
        self.name = host.decode()
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (self.ADDRESS, port))]

    async def getnameinfo(self, sockaddr: object, flags: int) -> tuple[str, str]:
        raise AssertionError

    def socket(self, *args: Any, **options: Any) -> trio.socket.SocketType:
        made = trio.socket.from_stdlib_socket(socket.socket())
        connect = made.connect

        async def instead(address: Any) -> None:
            host, port, *_ = address
            self.dialled.append((self.name if host == self.ADDRESS else host, port))
            await connect(("127.0.0.1", self.port))

        made.connect = instead  # type: ignore[method-assign]
        return made


@both_ways
@pytest.mark.parametrize(("url", "asked"), HOSTS.items(), ids=HOSTS.keys())
async def test_the_host_that_is_called_and_named(
    ask: Ask, url: str, asked: tuple[str, int, bytes]
) -> None:
    recorder = Recorder()
    with trio.fail_after(10):
        async with talk(ask, recorder.handle) as link:
            elsewhere = Elsewhere(link.server.port)
            assert (await ask(link.transport, httpx.Request("GET", url))).content == b"ok"
    host, port, named = asked
    assert elsewhere.dialled == [(host, port)]
    assert recorder.values(b"host") == [named]


# -- long requests

LONG = bytes(range(256)) * 2**14  # 4 MiB


@both_ways
async def test_a_server_that_reads_slowly(ask: Ask) -> None:
    """It reads only when the client can send no more."""
    received = bytearray()

    async def handle(stream: trio.SocketStream, connection: int) -> None:
        while len(received.partition(b"\r\n\r\n")[2]) < len(LONG):
            await wait_all_tasks_blocked()
            received.extend(await stream.receive_some(2**17))
        await stream.send_all(PLAIN)
        await read_request(stream)

    with trio.fail_after(20):
        async with talk(ask, handle) as link:
            assert (await link.get(content=LONG)).content == b"ok"
            assert link.transport.open_connections == 1
    assert received.partition(b"\r\n\r\n")[2] == LONG


class Early:
    """A server that answers once it has the head of a long request.

    Args:
        stays: whether it then waits for the client to close, and reads no more.
        head: more of the answer's head.
    """

    def __init__(self, *, stays: bool, head: bytes) -> None:
        self.stays = stays
        self.head = head
        self.seen = 0

    async def handle(self, stream: trio.SocketStream, connection: int) -> None:
        while b"content-length: 2\r\n" in (await stream.receive_some()).lower():
            await stream.send_all(PLAIN)
        self.seen += 1
        head = b"HTTP/1.1 413 Too Large\r\n%scontent-length: 3\r\n\r\n"
        await stream.send_all(head % self.head + b"big")
        if self.stays:
            await stream.send_eof()
            await trio.sleep_forever()


@both_ways
@pytest.mark.parametrize("head", [b"", b"connection: close\r\n"], ids=["", "says so"])
@pytest.mark.parametrize("stays", [False, True], ids=["closes", "stays"])
@pytest.mark.parametrize("used", [False, True], ids=["new", "used"])
async def test_an_answer_before_the_whole_request_was_sent(
    ask: Ask, head: bytes, stays: bool, used: bool
) -> None:
    """RFC 9112, 9.5: a client that sees one ceases to send. It came, so nothing is repeated."""
    early = Early(stays=stays, head=head)
    with trio.fail_after(20):
        async with raw_server(early.handle) as server, TrioTransport() as transport:
            link = Talk(server, transport, ask)
            if used:
                await link.get()
            answer = await link.get(content=LONG)
            assert (answer.status, answer.content) == (413, b"big")
            assert transport.open_connections == 0
    assert early.seen == 1


@both_ways
@pytest.mark.parametrize("junk", [b"", TIRED], ids=["", "junk"])
async def test_an_early_answer_does_not_spoil_the_connection(ask: Ask, junk: bytes) -> None:
    """One that answers from the head alone and takes the rest of the request in."""
    taken_in = trio.Event()

    async def handle(stream: trio.SocketStream, connection: int) -> None:
        received = bytearray(await stream.receive_some())
        if b"content-length: 5\r\n" in received.lower():
            await stream.send_all(PLAIN.replace(b"ok", b"OK"))
            await wait_for_disconnect(stream)
        await send(stream, [PLAIN, junk])
        while len(received.partition(b"\r\n\r\n")[2]) < len(LONG):
            received += await stream.receive_some(2**20)
        taken_in.set()
        await Recorder(PLAIN.replace(b"ok", b"OK")).handle(stream, connection)

    with trio.fail_after(20):
        async with talk(ask, handle) as link:
            assert (await link.get(content=LONG)).content == b"ok"
            await taken_in.wait()
            assert (await link.get(content=b"again")).content == b"OK"
            assert link.transport.open_connections == 1
            assert link.server.connections == (2 if junk else 1)


@both_ways
@pytest.mark.parametrize("times", [1, 4])
async def test_a_long_answer_before_the_request_is_read(ask: Ask, times: int) -> None:
    """Both sides send; that neither reads first must not stop both."""
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (times * len(LONG))

    async def handle(stream: trio.SocketStream, connection: int) -> None:
        await stream.receive_some()
        await stream.send_all(answer + times * LONG)
        await wait_for_disconnect(stream)

    with trio.fail_after(20):
        async with talk(ask, handle) as link:
            assert (await link.get(content=LONG)).content == times * LONG
