"""Real sockets on port 0: a raw server whose every connection is scripted, and a small HTTP server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import trio

from tests.servers.mock_server import completion
from tests.servers.threaded import Asked, threaded

#: Given a stream and the number of its connection (from 0).
Handler = Callable[[trio.SocketStream, int], Awaitable[None]]


class RawServer:
    """Where a scripted server listens, and what it has seen."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}/v1"
        self.connections = 0
        self.open = 0
        self.disconnected = trio.Event()
        self.empty = trio.Event()  # renewed with the first connection after it was set


@asynccontextmanager
async def raw_server(handler: Handler) -> AsyncIterator[RawServer]:
    """Serve while the block runs. `disconnected` is set when a handler has seen its peer go."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    server = RawServer(listeners[0].socket.getsockname()[1])

    async def serve(stream: trio.SocketStream) -> None:
        number = server.connections
        server.connections += 1
        if server.empty.is_set():
            server.empty = trio.Event()
        server.open += 1
        try:
            await handler(stream, number)
        except trio.BrokenResourceError:
            server.disconnected.set()
        finally:
            server.open -= 1
            if not server.open:
                server.empty.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        yield server
        nursery.cancel_scope.cancel()


async def read_request(stream: trio.abc.ReceiveStream) -> dict[str, Any]:
    """The JSON of the next request on a connection; `trio.BrokenResourceError` if there is none."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += await _some(stream)
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    while len(body) < length:
        body += await _some(stream)
    result: dict[str, Any] = json.loads(body or b"{}")
    return result


async def wait_for_disconnect(stream: trio.SocketStream) -> None:
    """Block until the peer has closed; always raises."""
    while True:
        await _some(stream)


async def _some(stream: trio.abc.ReceiveStream) -> bytes:
    data = await stream.receive_some()
    if not data:
        raise trio.BrokenResourceError
    return bytes(data)


def http_answer(body: Any, *, status: str = "200 OK", headers: str = "") -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"HTTP/1.1 {status}\r\n{headers}content-length: {len(data)}\r\n\r\n".encode() + data


async def answer_forever(stream: trio.SocketStream, number: int) -> None:
    """Answer completions as long as the peer wants."""
    while True:
        body = await read_request(stream)
        await stream.send_all(http_answer(completion(body)))


@contextmanager
def threaded_server() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server in threads, for callers that block; yields its base URL and the bodies it is sent."""
    bodies: list[dict[str, Any]] = []

    def answer(asked: Asked) -> tuple[int, Any]:
        if asked.method == "GET":
            return 200, {"data": [{"id": "mock"}]}
        bodies.append(json.loads(asked.content))
        return 200, completion(bodies[-1])

    with threaded(answer) as url:
        yield url, bodies
