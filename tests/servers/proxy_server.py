"""An HTTP proxy on a real socket that leads everything to one port, and keeps what it was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import attrs
import trio

from tests.servers.socket_server import RawServer, raw_server


@attrs.frozen
class ProxyServer:
    """Where it is, and the heads of the requests it got.

    Attributes:
        refusal: an answer instead of the tunnel or of the server's.
    """

    port: int
    refusal: bytes
    raw: list[RawServer] = attrs.field(factory=list)
    heads: list[bytes] = attrs.field(factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.raw[0].port}"

    @property
    def lines(self) -> list[bytes]:
        """The first line of each head."""
        return [head.split(b"\r\n")[0] for head in self.heads]

    async def handle(self, stream: trio.SocketStream, number: int) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            part = await stream.receive_some()
            if not part:
                raise trio.BrokenResourceError
            head += part
        self.heads.append(head.partition(b"\r\n\r\n")[0])
        if self.refusal:
            await stream.send_all(self.refusal)
            return
        async with await trio.open_tcp_stream("127.0.0.1", self.port) as server:
            if head.startswith(b"CONNECT "):
                await stream.send_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                await server.send_all(head)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_pump, server, stream, nursery.cancel_scope)
                nursery.start_soon(_pump, stream, server, nursery.cancel_scope)


async def _pump(
    source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope
) -> None:
    with suppress(trio.BrokenResourceError):
        async for part in source:
            await sink.send_all(part)
    scope.cancel(reason="one side has gone")


@asynccontextmanager
async def proxy_server(port: int, refusal: bytes = b"") -> AsyncIterator[ProxyServer]:
    """Lead to a port of this machine while the block runs, whichever host is asked for."""
    proxy = ProxyServer(port, refusal)
    async with raw_server(proxy.handle) as raw:
        proxy.raw.append(raw)
        yield proxy
