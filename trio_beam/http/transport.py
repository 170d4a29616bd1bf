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
import ssl
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from types import TracebackType

import h11
import httpx
import trio

from trio_beam.http.connection import Answer, ClosedWhileIdle, Connection, Origin

_PORTS = {b"http": 80, b"https": 443}


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
        self._idle: defaultdict[Origin, deque[Connection]] = defaultdict(deque)
        self._open: set[Connection] = set()

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
            with suppress(ClosedWhileIdle):
                return await self._exchange(connection, request, body)
        return await self._exchange(Connection(_origin(request.url)), request, body)

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
        self, connection: Connection, request: httpx.Request, content: bytes
    ) -> httpx.Response:
        timeouts: dict[str, float | None] = request.extensions.get("timeout", {})
        with self._dropped_on_error(connection):
            await self._open_if_new(connection, timeouts.get("connect"), request)
            with _translated(_EXCHANGE, request):
                data = connection.begin(_head(request), content)
                with _limit(timeouts.get("write"), "write", httpx.WriteTimeout):
                    await connection.send(data)
                with _limit(timeouts.get("read"), "read", httpx.ReadTimeout):
                    head = await connection.read_head()
        return httpx.Response(
            status_code=head.status_code,
            headers=head.headers.raw_items(),
            stream=Body(self, connection, request, timeouts),
            extensions={
                "http_version": b"HTTP/" + head.http_version,
                "reason_phrase": bytes(head.reason),
            },
        )

    async def fetch(
        self, template: Template, body: bytes | None, *, most: int, connect_timeout: float | None
    ) -> Answer:
        """Send a request and return its whole answer, without httpx's own objects.

        The same connections and the same errors as `handle_async_request`, at a third of the cost.

        Args:
            template: the request, made once.
            body: what it is to carry; None: nothing.
            most: longest body of the answer, in bytes.
            connect_timeout: seconds for connecting; None: no limit.
        """
        if (connection := self._take(template.origin)) is not None:
            with suppress(ClosedWhileIdle):
                return await self._fetch(connection, template, body, most, connect_timeout)
        connection = Connection(template.origin)
        return await self._fetch(connection, template, body, most, connect_timeout)

    async def _fetch(
        self,
        connection: Connection,
        template: Template,
        body: bytes | None,
        most: int,
        connect_timeout: float | None,
    ) -> Answer:
        try:
            await self._open_if_new(connection, connect_timeout)
            await connection.send(template.wire(body))
            answer = await connection.read_answer(lambda: template.event(body), body or b"", most)
        except tuple(_EXCHANGE) as error:
            self.drop(connection)
            raise _translation(_EXCHANGE, error) from error
        except BaseException:
            self.drop(connection)
            raise
        self.give_back(connection)
        return answer

    async def _open_if_new(
        self,
        connection: Connection,
        seconds: float | None,
        request: httpx.Request | None = None,
    ) -> None:
        if connection.stream is not None:
            return
        self._open.add(connection)
        with _translated(_CONNECT, request), _limit(seconds, "connect", httpx.ConnectTimeout):
            await connection.open(self._context)

    def _context(self) -> ssl.SSLContext:
        return self._ssl_context or _default_ssl_context()

    @contextmanager
    def _dropped_on_error(self, connection: Connection) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.drop(connection)
            raise

    def _take(self, origin: Origin) -> Connection | None:
        idle = self._idle[origin]
        while idle:
            connection = idle.pop()
            if time.monotonic() < connection.expires and not connection.is_readable():
                return connection
            self.drop(connection)
        return None

    def drop(self, connection: Connection) -> None:
        """Close a connection now."""
        connection.close()
        self._open.discard(connection)

    def give_back(self, connection: Connection) -> None:
        """After a body was read to its end: keep the connection if both sides may go on."""
        if connection not in self._open or not connection.renew():
            self.drop(connection)
            return
        connection.expires = time.monotonic() + self._keepalive_expiry
        idle = self._idle[connection.origin]
        idle.append(connection)
        while idle and idle[0].expires < time.monotonic():
            self.drop(idle.popleft())


class Template:
    """A request that is sent over and over with another body: its head is made once, by h11.

    Args:
        request: as httpx would send it; its own body does not count.

    Raises:
        httpx.UnsupportedProtocol: the URL is neither http nor https.
        httpx.LocalProtocolError: HTTP does not allow such a head.
    """

    def __init__(self, request: httpx.Request) -> None:
        self.origin = _origin(request.url)
        with _translated(_EXCHANGE, request):
            self._event = _head(request)
            rendered = h11.Connection(h11.CLIENT).send(self._event)
        assert rendered is not None
        self._head = rendered.removesuffix(b"\r\n")

    def wire(self, body: bytes | None) -> bytes:
        """Everything that is sent."""
        if body is None:
            return self._head + b"\r\n"
        return b"%scontent-length: %d\r\n\r\n%s" % (self._head, len(body), body)

    def event(self, body: bytes | None) -> h11.Request:
        """The same head, for h11."""
        event = self._event
        if body is None:
            return event
        headers = [*event.headers, (b"content-length", b"%d" % len(body))]
        return h11.Request(method=event.method, target=event.target, headers=headers)


def _head(request: httpx.Request) -> h11.Request:
    return h11.Request(
        method=request.method, target=request.url.raw_path, headers=request.headers.raw
    )


class Body(httpx.AsyncByteStream):
    """The body of an answer; closing it early closes the connection.

    An iterator and not a generator, which Trio could not close in time.
    """

    def __init__(
        self,
        transport: TrioTransport,
        connection: Connection,
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
            _translated(_EXCHANGE, self._request),
            _limit(self._timeouts.get("read"), "read", httpx.ReadTimeout),
        ):
            data = await self._connection.read_body()
        if data is not None:
            return data
        self._complete = True
        self._transport.give_back(self._connection)
        raise StopAsyncIteration

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
    table: dict[type[Exception], type[httpx.TransportError]], request: httpx.Request | None
) -> Iterator[None]:
    try:
        yield
    except tuple(table) as error:
        raise _translation(table, error, request) from error


def _translation(
    table: dict[type[Exception], type[httpx.TransportError]],
    error: BaseException,
    request: httpx.Request | None = None,
) -> httpx.TransportError:
    kind = next(to for known, to in table.items() if isinstance(error, known))
    return kind(_reason(error), request=request)


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
    seconds: float | None, phase: str, error: type[httpx.TimeoutException]
) -> Iterator[None]:
    if seconds is None:
        yield
        return
    with trio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise error(f"{phase} took longer than {seconds:g} s")


def _origin(url: httpx.URL) -> Origin:
    scheme = url.raw_scheme
    if scheme not in _PORTS:
        raise httpx.UnsupportedProtocol(f"neither http nor https: {url}")
    return scheme, url.raw_host.decode("ascii"), url.port or _PORTS[scheme]


@cache
def _default_ssl_context() -> ssl.SSLContext:
    """One for the whole process: it reads all the authorities that are trusted."""
    return httpx.create_ssl_context()
