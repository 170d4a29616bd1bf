"""Serve the gateway: Hypercorn's connections on Trio, with limits of ours.

The loop that accepts them is our own, because Hypercorn shields its writes: a client that reads nothing would
hold its connection, and the end of the server, for ever.
"""

from __future__ import annotations

import socket
import traceback
from typing import Any

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from trio_beam.errors import ConfigError
from trio_beam.gateway.app import Gateway
from trio_beam.gateway.deadlines import Deadlines

#: Size of a request's head, in bytes.
MAX_HEAD = 16 * 1024
#: Seconds for which a client may take nothing of what it is sent.
_MAX_UNREAD = 30.0
#: Seconds to send the responses of searches that the stop has ended.
_LAST_WORDS = 5.0
#: How a client begins that speaks HTTP/2 without asking. The limits are those of connections, not of streams
#: in them; the door refuses what gets through in other ways.
_HTTP_2 = b"PRI * HTTP/2"
#: Bytes that are written under one such deadline.
_PIECE = 2**16


async def serve_gateway(
    gateway: Gateway,
    listener: socket.socket,
    *,
    grace: float,
    stop: trio.Event,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `stop`; then take no more requests, and end the searches after `grace` seconds.

    What they have found by then is their answer.

    Args:
        gateway: what to serve.
        listener: a socket that listens; it is closed at the stop.
        grace: seconds for the requests in progress.
        stop: set to end.
        task_status: told when requests are answered.
    """
    config = Config()
    config.errorlog = None  # the door shows bugs, with the request's id
    config.h11_max_incomplete_size = MAX_HEAD
    config.keep_alive_timeout = gateway.limits.max_send_time  # also the time for a request's head
    config.include_server_header = False
    context = WorkerContext(None)
    inner: Any = gateway.app()
    app = ASGIWrapper(inner)
    writes = Deadlines()

    async def handle(stream: trio.SocketStream) -> None:
        bounded: Any = _BoundedStream(stream, writes)
        try:
            await _Http1Server(app, config, context, ConnectionState({}), bounded)
        except Exception:  # a bug in one connection is none of the others' business
            traceback.print_exc()

    async with trio.open_nursery() as connections:
        async with (
            trio.SocketListener(trio.socket.from_stdlib_socket(listener)) as accepting,
            trio.open_nursery() as nursery,
        ):

            async def accept() -> None:
                await trio.serve_listeners(handle, [accepting], handler_nursery=connections)

            nursery.start_soon(accept)
            task_status.started()
            await stop.wait()
            nursery.cancel_scope.cancel(reason="no more requests")
        await context.terminated.set()
        end = trio.current_time() + grace
        gateway.deadlines.end_at(end)
        connections.cancel_scope.deadline = end + _LAST_WORDS
        writes.end_at(end + _LAST_WORDS)  # because they are shielded


class _Http1Server(TCPServer):
    """A connection that ends with its client, and stays with HTTP/1.1.

    Hypercorn would keep a connection that the client has closed until it has been idle for long enough, and
    would go over to HTTP/2 where the client offers that, as Java's does with its first request.
    """

    _is_over = False

    async def _idle_timeout(self) -> None:
        if not self._is_over:
            await super()._idle_timeout()

    async def _read_data(self) -> None:
        protocol: Any = self.protocol.protocol
        check = protocol._check_protocol  # noqa: SLF001  # there is no option for it

        async def check_without_offer(request: Any) -> None:
            if request.method == b"PRI":
                await check(request)

        protocol._check_protocol = check_without_offer  # noqa: SLF001
        await super()._read_data()
        self._is_over = True
        await self.idle_task.stop()


class _BoundedStream:
    """A connection whose writes give up if the client reads nothing.

    Hypercorn tells by `do_handshake`, which it does not have, that it is not TLS.
    """

    def __init__(self, stream: trio.SocketStream, writes: Deadlines) -> None:
        self._stream = stream
        self._writes = writes
        self.socket = stream.socket
        self._is_new = True
        self.send_eof = stream.send_eof
        self.aclose = stream.aclose

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive data.

        Raises:
            trio.BrokenResourceError: the connection is lost, or speaks HTTP/2.
        """
        data = await self._stream.receive_some(max_bytes)
        if self._is_new and data.startswith(_HTTP_2):
            await self.aclose()
            raise trio.BrokenResourceError("HTTP/2 is not spoken here")
        self._is_new = False
        return data

    async def send_all(self, data: bytes) -> None:
        """Send data.

        Raises:
            trio.BrokenResourceError: the connection is lost, or the client has taken nothing for too long.
        """
        view = memoryview(data)
        for start in range(0, len(view), _PIECE):
            with self._writes.scope(trio.current_time() + _MAX_UNREAD) as scope:
                await self._stream.send_all(view[start : start + _PIECE])
            if scope.cancelled_caught:
                await trio.aclose_forcefully(self._stream)
                raise trio.BrokenResourceError("the client reads nothing")


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ConfigError: it cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        wrong = ConfigError("port", "one that is free", port)
        wrong.args = (f"cannot listen at {host} port {port}: {error}",)
        raise wrong from None


def base_url_of(listener: socket.socket) -> str:
    """Return where clients on this machine find it."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # not listening
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"
