"""HTTP/1.1 on Trio streams, under ``httpx.AsyncClient``.

httpx's own pool rescans every connection for every request and loses slots when requests are
cancelled under contention (encode/httpcore#1035, #1093). A search cancels as a matter of course, so
it has a transport of its own:

- idle connections lie in a last-in-first-out list for each origin: taking and giving back is O(1);
- there is no cap here: the limit on concurrency is the endpoint's;
- whatever is left before the body was read to its end, by an error, by a cancellation or by the
  caller, closes its socket at once. No cancellation can leave a connection behind, because a
  connection is in exactly one place: in the list, or in the hands of one request.
"""

from __future__ import annotations

import errno
import os
import select
import ssl
import time
from collections import defaultdict, deque
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

import h11
import httpx
import trio

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_Origin: TypeAlias = tuple[bytes, str, int]
_PORTS = {b"http": 80, b"https": 443}
_READ_SIZE = 65536
#: Where a response's extensions have its `Body`.
BODY = "trio_beam.body"
#: Most bytes of status line and headers in an answer.
_MAX_HEAD = 128 * 1024


class TrioTransport(httpx.AsyncBaseTransport):
    """A transport for ``httpx.AsyncClient(transport=TrioTransport())``.

    Honours httpx's ``timeout`` extension (connect, write, read; seconds) and raises httpx's
    exceptions. Redirects, cookies, authentication and compression stay with httpx.

    Args:
        ssl_context: for https; None for one that trusts what httpx trusts, made once per process.
        keepalive_expiry: seconds after which an idle connection is not used again.
    """

    def __init__(
        self, *, ssl_context: ssl.SSLContext | None = None, keepalive_expiry: float = 4.0
    ) -> None:
        self._ssl_context = ssl_context
        self._keepalive_expiry = keepalive_expiry
        self._idle: defaultdict[_Origin, deque[_Connection]] = defaultdict(deque)
        self._open: set[_Connection] = set()

    @property
    def open_connections(self) -> int:
        """Sockets that are open or being opened, idle ones included that have not expired."""
        now = time.monotonic()
        for idle in self._idle.values():
            while idle and idle[0].expires <= now:
                self.drop(idle.popleft())
        return len(self._open)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return its answer as soon as the head is in."""
        assert isinstance(request.stream, httpx.AsyncByteStream)
        body = b"".join([part async for part in request.stream])
        if (connection := self._take(_origin(request.url))) is not None:
            # It may have been closed by the server while it lay idle; then once more, on a new one.
            with suppress(_ClosedWhileIdle):
                return await self._exchange(connection, request, body)
        return await self._exchange(_Connection(_origin(request.url)), request, body)

    async def aclose(self) -> None:
        """Close every socket, those in use as well."""
        for connection in list(self._open):
            connection.close()
        self._open.clear()
        self._idle.clear()
        await trio.lowlevel.checkpoint()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close every socket."""
        await self.aclose()

    async def _exchange(
        self, connection: _Connection, request: httpx.Request, content: bytes
    ) -> httpx.Response:
        timeouts: dict[str, float | None] = request.extensions.get("timeout", {})
        self._open.add(connection)
        with self._dropped_on_error(connection):
            if connection.stream is None:
                with (
                    _translated(request, _CONNECT),
                    _limit(timeouts, "connect", httpx.ConnectTimeout),
                ):
                    await connection.open(self._context)
            with _translated(request, _EXCHANGE):
                with _limit(timeouts, "write", httpx.WriteTimeout):
                    await connection.send(request, content)
                with _limit(timeouts, "read", httpx.ReadTimeout):
                    head = await connection.read_head()
        body = Body(self, connection, request, timeouts)
        return httpx.Response(
            status_code=head.status_code,
            headers=head.headers.raw_items(),
            stream=body,
            extensions={
                BODY: body,
                "http_version": b"HTTP/" + head.http_version,
                "reason_phrase": bytes(head.reason),
            },
        )

    def _context(self) -> ssl.SSLContext:
        return self._ssl_context or _default_ssl_context()

    @contextmanager
    def _dropped_on_error(self, connection: _Connection) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.drop(connection)
            raise

    def _take(self, origin: _Origin) -> _Connection | None:
        idle = self._idle[origin]
        while idle:
            connection = idle.pop()
            if time.monotonic() < connection.expires and not connection.is_readable():
                return connection
            self.drop(connection)
        return None

    def drop(self, connection: _Connection) -> None:
        """Close a connection now."""
        connection.close()
        self._open.discard(connection)

    def give_back(self, connection: _Connection) -> None:
        """After a body was read to its end: keep the connection if both sides may go on."""
        if connection not in self._open or not connection.renew():
            self.drop(connection)
            return
        connection.expires = time.monotonic() + self._keepalive_expiry
        idle = self._idle[connection.origin]
        idle.append(connection)
        while idle and idle[0].expires < time.monotonic():
            self.drop(idle.popleft())


class _ClosedWhileIdle(Exception):
    """A kept-alive connection turned out to be closed before a byte of the answer came."""


class _Connection:
    """One socket and the protocol state on it."""

    def __init__(self, origin: _Origin) -> None:
        self.origin = origin
        self.expires = 0.0
        self.stream: trio.abc.Stream | None = None
        self._socket: trio.SocketStream | None = None
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)
        self._used = False

    async def open(self, context: Any) -> None:
        scheme, host, port = self.origin
        # The socket is ours from the moment it exists, so that a cancelled handshake closes it.
        self.stream = self._socket = await trio.open_tcp_stream(host, port)
        if scheme == b"https":
            tls = trio.SSLStream(
                self._socket, context(), server_hostname=host, https_compatible=True
            )
            await tls.do_handshake()
            self.stream = tls

    async def send(self, request: httpx.Request, body: bytes) -> None:
        assert self.stream is not None
        protocol = self._protocol
        head = h11.Request(
            method=request.method, target=request.url.raw_path, headers=request.headers.raw
        )
        data = protocol.send(head) or b""
        if body:
            data += protocol.send(h11.Data(data=body)) or b""
        data += protocol.send(h11.EndOfMessage()) or b""
        try:
            await self.stream.send_all(data)
        except trio.BrokenResourceError:
            if self._used:
                raise _ClosedWhileIdle from None
            # The server may have answered before it closed (413, for one): read on.

    async def read_head(self) -> h11.Response:
        while True:
            try:
                event = await self._next_event()
            except (trio.BrokenResourceError, h11.RemoteProtocolError) as error:
                if self._protocol.trailing_data[0]:
                    raise
                if self._used:
                    raise _ClosedWhileIdle from None
                if isinstance(error, h11.RemoteProtocolError):
                    message = "the server closed the connection without an answer"
                    raise h11.RemoteProtocolError(message) from None
                raise
            if isinstance(event, h11.Response):
                return event
            # 1xx: the answer proper is still to come.

    async def read_body(self) -> bytes | None:
        """The next piece of the body; None at its end."""
        event = await self._next_event()
        return bytes(event.data) if isinstance(event, h11.Data) else None

    async def _next_event(self) -> h11.Event | type[h11.PAUSED]:
        assert self.stream is not None
        while (event := self._protocol.next_event()) is h11.NEED_DATA:
            self._protocol.receive_data(bytes(await self.stream.receive_some(_READ_SIZE)))
        return event  # type: ignore[return-value]  # h11 does not type its sentinels

    def renew(self) -> bool:
        """Make ready for another request; False if one side wants to close."""
        if self._protocol.our_state is not h11.DONE or self._protocol.their_state is not h11.DONE:
            return False
        if self._protocol.trailing_data[0]:
            return False  # bytes that nobody asked for: the connection cannot be trusted
        self._protocol.start_next_cycle()
        self._used = True
        return True

    def is_readable(self) -> bool:
        """Whether an idle connection has something to read, which means: was closed."""
        assert self._socket is not None
        return _peek(self._socket.socket)

    def close(self) -> None:
        """Close the socket now, without any farewell."""
        if self._socket is not None:
            self._socket.socket.close()


class Body(httpx.AsyncByteStream):
    """The body of an answer; closing it early closes the connection.

    An iterator and not a generator, which Trio could not close in time. A caller that wants the whole
    body finds it under `BODY` in the response's extensions and saves httpx's generators around it.
    """

    def __init__(
        self,
        transport: TrioTransport,
        connection: _Connection,
        request: httpx.Request,
        timeouts: dict[str, float | None],
    ) -> None:
        self._transport = transport
        self._connection = connection
        self._request = request
        self._timeouts = timeouts
        self._complete = False

    def __aiter__(self) -> Body:
        return self

    async def __anext__(self) -> bytes:
        if self._complete:
            raise StopAsyncIteration
        with (
            _translated(self._request, _EXCHANGE),
            _limit(self._timeouts, "read", httpx.ReadTimeout),
        ):
            data = await self._connection.read_body()
        if data is not None:
            return data
        self._complete = True
        self._transport.give_back(self._connection)
        raise StopAsyncIteration

    async def read(self, most: int) -> bytes | None:
        """The whole body as it was sent; None if it is longer than `most` bytes, which closes it."""
        parts: list[bytes] = []
        size = 0
        async for part in self:
            size += len(part)
            if size > most:
                await self.aclose()
                return None
            parts.append(part)
        return b"".join(parts)

    async def aclose(self) -> None:
        """Close the connection unless the body was read to its end."""
        if not self._complete:
            self._transport.drop(self._connection)


# -- errors and limits

_CONNECT: dict[type[Exception], type[httpx.TransportError]] = {
    OSError: httpx.ConnectError,
    trio.BrokenResourceError: httpx.ConnectError,
    ssl.SSLError: httpx.ConnectError,
}
_EXCHANGE: dict[type[Exception], type[httpx.TransportError]] = {
    h11.RemoteProtocolError: httpx.RemoteProtocolError,
    h11.LocalProtocolError: httpx.LocalProtocolError,
    trio.BrokenResourceError: httpx.ReadError,
    trio.ClosedResourceError: httpx.ReadError,
    OSError: httpx.ReadError,
}


@contextmanager
def _translated(
    request: httpx.Request, table: dict[type[Exception], type[httpx.TransportError]]
) -> Iterator[None]:
    try:
        yield
    except tuple(table) as error:
        kind = next(to for known, to in table.items() if isinstance(error, known))
        raise kind(_reason(error), request=request) from error


def _reason(error: BaseException) -> str:
    """The innermost cause in the system's own words: Trio wraps it, once for each address tried."""
    if isinstance(error, ExceptionGroup):
        return "; ".join(dict.fromkeys(map(_reason, error.exceptions)))
    if error.__cause__ is not None:
        return _reason(error.__cause__)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    if isinstance(error, ssl.SSLError):  # its number is OpenSSL's, not the system's
        return error.reason or str(error)
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


@contextmanager
def _limit(
    timeouts: dict[str, float | None], phase: str, error: type[httpx.TimeoutException]
) -> Iterator[None]:
    seconds = timeouts.get(phase)
    if seconds is None:
        yield
        return
    with trio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise error(f"{phase} took longer than {seconds:g} s")


def _origin(url: httpx.URL) -> _Origin:
    scheme = url.raw_scheme
    if scheme not in _PORTS:
        raise httpx.UnsupportedProtocol(f"neither http nor https: {url}")
    return scheme, url.raw_host.decode("ascii"), url.port or _PORTS[scheme]


def _peek(sock: trio.socket.SocketType) -> bool:
    """Whether a read would return at once: data, an end of file or an error."""
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([sock.fileno()], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))


@cache
def _default_ssl_context() -> ssl.SSLContext:
    """One for the whole process: it reads all the authorities that are trusted."""
    return httpx.create_ssl_context()
