"""A server with quirks, in front of a healthy one: without sockets, and as a proxy on a real one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx
import trio

from tests.servers.quirks.quirk import Ask, Quirk, Reply, Upstream, respond
from tests.servers.socket_server import raw_server
from trio_beam import Endpoint, RetryPolicy, TrioTransport, local_api_key


@attrs.define
class QuirkyFront:
    """The server that an endpoint sees.

    Attributes:
        quirks: the first is the outermost.
        upstream: the healthy server.
        asks, replies: so far, in the order of the replies.
        times: when each request came, in the clock's seconds.
    """

    quirks: list[Quirk]
    upstream: Upstream
    asks: list[Ask] = attrs.field(factory=list)
    replies: list[Reply] = attrs.field(factory=list)
    times: list[float] = attrs.field(factory=list)
    _seen: Counter[str] = attrs.field(factory=Counter, init=False)

    async def reply(self, method: str, target: str, content: bytes) -> Reply:
        """Reply to a request."""
        path, _, query = target.partition("?")
        body: dict[str, Any] = json.loads(content or b"{}")
        same = f"{path} {content!r}"
        ask = Ask(method=method, path=path, query=query, body=body, repeat=self._seen[same])
        self._seen[same] += 1
        self.times.append(trio.current_time())
        reply = await respond(ask, self.quirks, self.upstream)
        self.asks.append(ask)
        self.replies.append(reply)
        return reply

    # -- without sockets

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        reply = await self.reply(request.method, request.url.raw_path.decode(), request.content)
        if reply.closes:
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
        return httpx.Response(
            reply.status, headers=dict(reply.headers), stream=_Pieces(reply.pieces)
        )

    @asynccontextmanager
    async def endpoint(
        self, url: str = "http://mock/v1", **options: Any
    ) -> AsyncIterator[Endpoint]:
        """An endpoint on it: dialect and model named, unless options say otherwise."""
        defaults: dict[str, Any] = {
            "dialect": "openai",
            "model": "m",
            "retry": RetryPolicy(wait_initial=0.1),
        }
        options = defaults | options
        async with (
            httpx.AsyncClient(transport=httpx.MockTransport(self._handle)) as client,
            Endpoint(url, http_client=client, **options) as endpoint,
        ):
            yield endpoint

    # -- on a socket

    async def serve(self, stream: trio.SocketStream, number: int) -> None:
        """Serve one connection."""
        while True:
            method, target, content = await _read(stream)
            reply = await self.reply(method, target, content)
            if reply.closes:
                return
            chunked = len(reply.pieces) > 1
            headers = {**reply.headers, **({"transfer-encoding": "chunked"} if chunked else {})}
            if not chunked:
                headers["content-length"] = str(len(reply.content))
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            await stream.send_all(f"HTTP/1.1 {reply.status} X\r\n{lines}\r\n".encode("latin-1"))
            for piece in reply.pieces:
                if piece:
                    await stream.send_all(
                        b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece
                    )
            if chunked:
                await stream.send_all(b"0\r\n\r\n")


class _Pieces(httpx.AsyncByteStream):
    def __init__(self, pieces: tuple[bytes, ...]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            await trio.lowlevel.checkpoint()
            yield piece


async def _read(stream: trio.SocketStream) -> tuple[str, str, bytes]:
    """(method, target, body); `trio.BrokenResourceError` if the peer has gone."""
    data = bytearray()
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += await _some(stream)
    first, *lines = data[:end].decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    total = end + 4 + int(headers.get("content-length", 0))
    while len(data) < total:
        data += await _some(stream)
    method, target, _ = first.split(" ")
    return method, target, bytes(data[end + 4 :])


async def _some(stream: trio.SocketStream) -> bytes:
    data = await stream.receive_some()
    if not data:
        raise trio.BrokenResourceError
    return bytes(data)


@asynccontextmanager
async def quirky_proxy(
    base_url: str, quirks: list[Quirk]
) -> AsyncIterator[tuple[QuirkyFront, str]]:
    """A proxy on a real socket before a real server, while the block runs; yields it with its base URL."""
    root = base_url.removesuffix("/v1")
    key = local_api_key(base_url)
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(
        transport=TrioTransport(), headers=headers, timeout=None
    ) as client:

        async def upstream(ask: Ask) -> Reply:
            content = json.dumps(dict(ask.body)).encode() if ask.method == "POST" else None
            response = await client.request(
                ask.method,
                root + ask.path,
                content=content,
                headers={"content-type": "application/json"},
            )
            try:
                answer = response.json()
            except ValueError:
                answer = response.content
            return Reply(status=response.status_code, answer=answer)

        front = QuirkyFront(quirks, upstream)
        async with raw_server(front.serve) as raw:
            yield front, raw.url
