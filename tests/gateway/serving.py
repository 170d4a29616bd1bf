"""A gateway on a port of its own, over models without a server."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import attrs
import httpx
import trio

from trio_beam import EndpointError, Prompt, RequestContext
from trio_beam.core.language_model import LanguageModel, Sampler
from trio_beam.endpoint.replicas import Replicas
from trio_beam.gateway.app import Gateway
from trio_beam.gateway.server import base_url_of, listen, serve_gateway


@attrs.define(eq=False)
class FakeServer:
    """What the gateway needs of an `Endpoint`, over any model."""

    model: LanguageModel
    name: str = "m"
    error: EndpointError | None = None
    load: int = 0
    starts: int = 0

    async def find_model(self) -> str:
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        return self.name

    async def start(self, prompt: Prompt, context: RequestContext) -> Sampler:
        if self.error is not None:
            await trio.lowlevel.checkpoint()
            raise self.error
        self.starts += 1
        return await self.model.start(prompt, context)

    def statistics(self) -> Any:
        return attrs.make_class("Statistics", ["in_flight", "waiting"])(self.load, 0)


def gateway_over(*models: Any, **options: Any) -> Gateway:
    servers: Any = [one if isinstance(one, FakeServer) else FakeServer(one) for one in models]
    return Gateway(replicas=Replicas(servers), **options)


@asynccontextmanager
async def serving(
    gateway: Gateway, grace: float = 5.0, send_buffer: int | None = None, seconds: float = 60
) -> AsyncIterator[str]:
    """Serve, some seconds at most; yields the base URL. All searches have ended when the block is left."""
    stop = trio.Event()
    with trio.fail_after(seconds), listen("127.0.0.1", 0) as listener:
        base_url = base_url_of(listener)
        if send_buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        async with trio.open_nursery() as nursery:

            async def serve(task_status: trio.TaskStatus[None]) -> None:
                await serve_gateway(
                    gateway, listener, grace=grace, stop=stop, task_status=task_status
                )

            await nursery.start(serve)
            try:
                yield base_url
            finally:
                stop.set()
    assert gateway.admission.running == gateway.admission.waiting == 0


@asynccontextmanager
async def connected(base_url: str) -> AsyncIterator[trio.SocketStream]:
    """A bare connection."""
    async with await trio.open_tcp_stream("127.0.0.1", urlsplit(base_url).port or 0) as stream:
        yield stream


def post(path: str, body: Any, *headers: str) -> bytes:
    """The bytes of a request; a body that is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "host: localhost", f"content-length: {len(content)}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + content


async def ask(base_url: str, method: str, path: str, body: Any = None, **headers: str) -> Any:
    """Ask by httpx; returns its response."""
    url = base_url.removesuffix("/v1") + path
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await client.request(method, url, content=content, headers=named)
