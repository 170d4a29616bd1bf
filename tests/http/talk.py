"""A transport and a scripted server, and the two ways to send a request through the transport."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from enum import Enum, auto
from typing import NamedTuple

import attrs
import httpx
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.servers.socket_server import Handler, RawServer, raw_server, read_request
from trio_beam.http.transport import BODY, TrioTransport

#: A short answer.
PLAIN = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
#: Sent by servers before they close a connection on which nothing happens.
TIRED = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Got(NamedTuple):
    """A response as a client sees it: lower-case header names, the body decompressed."""

    status: int
    headers: list[tuple[bytes, bytes]]
    content: bytes


Ask = Callable[[TrioTransport, httpx.Request], Awaitable[Got]]


async def as_httpx_does(transport: TrioTransport, request: httpx.Request) -> Got:
    response = await transport.handle_async_request(request)
    assert isinstance(response.stream, httpx.AsyncByteStream)
    async with aclosing(response):
        content = b"".join([part async for part in response.stream])
    return _got(response.status_code, response.headers.raw, content)


async def as_endpoints_do(transport: TrioTransport, request: httpx.Request) -> Got:
    response = await transport.handle_async_request(request)
    content = await response.extensions[BODY].read_all(2**30)
    assert content is not None
    return _got(response.status_code, response.headers.raw, content)


def _got(status: int, headers: list[tuple[bytes, bytes]], content: bytes) -> Got:
    decoded = httpx.Response(status, headers=headers, content=content).content
    return Got(status, [(name.lower(), value) for name, value in headers], decoded)


both_ways = pytest.mark.parametrize("ask", [as_httpx_does, as_endpoints_do])


def run(check: Callable[[], Awaitable[None]]) -> None:
    """For tests by hypothesis, which are not coroutines."""

    async def limited() -> None:
        with trio.fail_after(10):
            await check()

    trio.run(limited)


@attrs.frozen
class Talk:
    """A transport and the server that it talks to."""

    server: RawServer
    transport: TrioTransport
    ask: Ask

    async def get(self, method: str = "POST", content: bytes = b"{}") -> Got:
        sent = content if method == "POST" else b""
        return await self.ask(self.transport, httpx.Request(method, self.server.url, content=sent))

    async def fails(self, *errors: type[httpx.HTTPError]) -> None:
        with pytest.raises(errors):
            await self.get()
        assert self.transport.open_connections == 0


@asynccontextmanager
async def talk(ask: Ask, handle: Handler) -> AsyncIterator[Talk]:
    """After the block, that neither side holds a connection is asserted."""
    async with raw_server(handle) as server:
        async with TrioTransport() as transport:
            yield Talk(server, transport, ask)
        assert transport.open_connections == 0
        if server.connections:
            await server.empty.wait()


class Then(Enum):
    """The server's behaviour after a response."""

    LISTEN = auto()
    SEND_AT_ONCE = auto()
    SEND_LATER = auto()
    CLOSE = auto()
    RESET = auto()


@attrs.frozen(kw_only=True)
class Turn:
    """A request's method, the pieces of its answer, and what follows it."""

    method: str = "POST"
    sent: Sequence[bytes]
    then: Then
    junk: bytes = b""


class Peer:
    """A server that goes through turns, whichever connections they come on."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self.turns = turns
        self.used: list[int] = []  # the connection of each request
        self.settled = [trio.Event() for _ in turns]

    async def handle(self, stream: trio.SocketStream, connection: int) -> None:
        goes_on = True
        while goes_on:
            await read_request(stream)
            number = len(self.used)
            self.used.append(connection)
            goes_on = await self._answer(stream, self.turns[number])
            self.settled[number].set()

    async def _answer(self, stream: trio.SocketStream, turn: Turn) -> bool:
        if turn.then is Then.SEND_AT_ONCE:
            await send(stream, [*turn.sent[:-1], turn.sent[-1] + turn.junk])
        else:
            await send(stream, turn.sent)
        if turn.then is Then.SEND_LATER:
            await send(stream, [turn.junk])
        if turn.then not in {Then.CLOSE, Then.RESET}:
            return True
        if turn.then is Then.RESET:
            no_linger = b"\1\0\0\0\0\0\0\0"
            stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, no_linger)
        await stream.aclose()
        return False


async def send(stream: trio.SocketStream, pieces: Sequence[bytes]) -> None:
    """Send each piece when the client has read the one before and waits for more."""
    for piece in pieces:
        await stream.send_all(piece)
        await wait_all_tasks_blocked()
