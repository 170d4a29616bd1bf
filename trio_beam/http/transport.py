"""HTTP/1.1 over Trio streams for `httpx.AsyncClient`.

httpx's own pool scans every connection for every request and loses slots when requests are cancelled
under contention (encode/httpcore#1035, #1093). Searches cancel routinely, so they use this transport:

- idle connections are kept in a last-in-first-out list per origin: taking and returning one is O(1);
- there is no cap here: the endpoint limits concurrency;
- an idle connection that is readable is closed. If it holds an answer, nobody knows which answers of this
  server belong to which requests, so all further requests to it fail;
- an exchange that ends before its body is read completely, by an error, a cancellation or the caller,
  closes its socket at once. A connection is either in the list or owned by one request, so no
  cancellation can leak it.
"""

from __future__ import annotations

import ssl
import time
from base64 import b64encode
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from types import TracebackType
from typing import TypeVar

import httpx
import trio

from trio_beam.errors import ConfigError
from trio_beam.http.connection import ClosedWhileIdle, Connection, Head, Unasked
from trio_beam.http.dial import Origin, ProxyServer, origin_of
from trio_beam.http.foreign_errors import FOREIGN_ERRORS, as_httpx
from trio_beam.http.outgoing import Outgoing, Renderer

T = TypeVar("T")
#: Key of a response's extension that holds its `Body`, without httpx's wrapper.
BODY = "trio_beam.body"
_Timeouts = Mapping[str, float | None]
_NO_TIMEOUTS: _Timeouts = {}


class TrioTransport(httpx.AsyncBaseTransport):
    """A transport for ``httpx.AsyncClient(transport=TrioTransport())``.

    Honours httpx's ``timeout`` extension (connect, write, read; seconds) and raises httpx's
    exceptions. Redirects, cookies, authentication and compression stay with httpx.

    Args:
        ssl_context: for https; None: httpx's default, created once per process.
        keepalive_expiry: seconds after which an idle connection is no longer used.
        proxy: HTTP proxy (``http://`` or ``https://``) for all requests.

    Attributes:
        unasked: number of connections closed because unrequested bytes arrived.

    Raises:
            ConfigError: the proxy is of another kind.
    """

    def __init__(
        self,
        *,
        ssl_context: ssl.SSLContext | None = None,
        keepalive_expiry: float = 4.0,
        proxy: str | httpx.URL | httpx.Proxy | None = None,
    ) -> None:
        self._ssl_context = ssl_context
        self._keepalive_expiry = keepalive_expiry
        self._proxy = None if proxy is None else _proxy_server(proxy)
        self._renderer = Renderer(self._proxy.headers if self._proxy else None)
        self._idle: defaultdict[Origin, deque[Connection]] = defaultdict(deque)
        self._open: set[Connection] = set()
        self._distrusted: set[Origin] = set()
        self.unasked = 0

    @property
    def open_connections(self) -> int:
        """Number of sockets open or being opened, including idle ones that have not expired."""
        now = time.monotonic()
        for idle in self._idle.values():
            while idle and idle[0].expires <= now:
                self.drop(idle.popleft())
        return len(self._open)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return its response as soon as the head has arrived."""
        origin = origin_of(request.url)
        body = await _body_of(request)
        try:
            outgoing = self._renderer.render(request, body)
        except FOREIGN_ERRORS as error:
            raise as_httpx(error, connecting=True) from error
        timeouts: _Timeouts = request.extensions.get("timeout", _NO_TIMEOUTS)
        connection = await self._take(origin)
        if connection is not None:
            try:
                return await self._exchange(connection, outgoing, timeouts)
            except ClosedWhileIdle:
                pass  # by the server: send it again on a new connection
        return await self._exchange(Connection(origin), outgoing, timeouts)

    async def aclose(self) -> None:
        """Close every socket, including those in use."""
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
        self, connection: Connection, outgoing: Outgoing, timeouts: _Timeouts
    ) -> httpx.Response:
        connecting = connection.stream is None
        try:
            if connecting:
                await self._connect(connection, timeouts.get("connect"))
                connecting = False
                if not connection.encrypted and connection.is_readable():
                    await self._look_at(connection)
                    self._check_trust(connection.origin)
            if (seconds := timeouts.get("write")) is None:
                await connection.send(outgoing)
            else:
                await _within(seconds, httpx.WriteTimeout, connection.send, outgoing)
            if (seconds := timeouts.get("read")) is None:
                head = await connection.read_head()
            else:
                head = await _within(seconds, httpx.ReadTimeout, connection.read_head)
        except FOREIGN_ERRORS as error:
            self.drop(connection)
            raise as_httpx(error, connecting=connecting) from error
        except BaseException:
            self.drop(connection)
            raise
        return self._response(head, connection, timeouts.get("read"))

    def _response(
        self, head: Head, connection: Connection, read_timeout: float | None
    ) -> httpx.Response:
        body = Body(self, connection, read_timeout)
        extensions = {
            "http_version": b"HTTP/" + head.version,
            "reason_phrase": head.reason,
            BODY: body,
        }
        return httpx.Response(head.status, headers=head.headers, stream=body, extensions=extensions)

    async def _connect(self, connection: Connection, seconds: float | None) -> None:
        self._open.add(connection)
        proxy = self._proxy
        encrypted = connection.origin.scheme == b"https" or (
            proxy is not None and proxy.origin.scheme == b"https"
        )
        context = (self._ssl_context or _default_ssl_context()) if encrypted else None
        await _within(seconds, httpx.ConnectTimeout, connection.open, proxy, context)

    async def _take(self, origin: Origin) -> Connection | None:
        """Return an idle connection, or None if there is none.

        Raises:
            Unasked: the server has sent an unrequested answer, now or before.
        """
        idle = self._idle[origin]
        while idle and origin not in self._distrusted:
            connection = idle.pop()
            if connection.is_readable():
                await self._look_at(connection)
            elif time.monotonic() < connection.expires:
                return connection
            self.drop(connection)
        self._check_trust(origin)
        return None

    def _check_trust(self, origin: Origin) -> None:
        if origin in self._distrusted:
            raise Unasked

    async def _look_at(self, connection: Connection) -> None:
        """Examine a connection that is readable although nothing was requested."""
        try:
            self.unasked += await connection.check_unasked()
        except Unasked:
            self._distrust(connection)
        except BaseException:
            self.drop(connection)
            raise

    def _distrust(self, connection: Connection) -> None:
        self.unasked += 1
        self._distrusted.add(connection.origin)
        self.drop(connection)

    def drop(self, connection: Connection) -> None:
        """Close a connection immediately."""
        connection.close()
        self._open.discard(connection)

    def give_back(self, connection: Connection) -> None:
        """Keep a connection whose body was read to its end, if both sides allow reuse.

        Raises:
            Unasked: another, unrequested answer follows.
        """
        try:
            kept = connection in self._open and connection.renew()
        except Unasked:
            self._distrust(connection)
            raise
        if not kept:
            self.drop(connection)
            return
        now = time.monotonic()
        connection.expires = now + self._keepalive_expiry
        idle = self._idle[connection.origin]
        idle.append(connection)
        while idle[0].expires < now:
            self.drop(idle.popleft())


class Body(httpx.AsyncByteStream):
    """A response body, still compressed; closing it early closes the connection.

    An iterator rather than a generator, which Trio could not close in time.
    """

    def __init__(
        self, transport: TrioTransport, connection: Connection, read_timeout: float | None
    ) -> None:
        self._transport = transport
        self._connection = connection
        self._read_timeout = read_timeout
        self._complete = False

    def __aiter__(self) -> Body:
        return self

    async def __anext__(self) -> bytes:
        if self._complete:
            raise StopAsyncIteration
        data = await self._guarded(self._connection.read_body)
        if data is not None:
            return data
        self._complete = True
        self._transport.give_back(self._connection)
        raise StopAsyncIteration

    async def read_all(self, limit: int) -> bytes | None:
        """Read the complete body, before any of it was read; nothing remains to be closed.

        Args:
            limit: maximum size in bytes.

        Returns:
            The body; None, with the connection closed, if it exceeds the limit.

        Raises:
            httpx.TransportError: it was truncated.
        """
        content = self._connection.take_buffered(limit)  # usually all of it
        if content is None:
            content = await self._guarded(self._connection.read_all, limit)
        if content is None:
            self._transport.drop(self._connection)
        else:
            self._transport.give_back(self._connection)
        self._complete = True
        return content

    async def _guarded(self, read: Callable[..., Awaitable[T]], *args: int) -> T:
        try:
            return await _within(self._read_timeout, httpx.ReadTimeout, read, *args)
        except FOREIGN_ERRORS as error:
            self._transport.drop(self._connection)
            raise as_httpx(error, connecting=False) from error
        except BaseException:
            self._transport.drop(self._connection)
            raise

    async def aclose(self) -> None:
        """Close the connection unless the body was read to its end."""
        if not self._complete:
            self._transport.drop(self._connection)


async def _within(
    seconds: float | None,
    error: type[httpx.TimeoutException],
    call: Callable[..., Awaitable[T]],
    *args: object,
) -> T:
    """Await a call for at most `seconds`; without a limit, skip the cost of a scope."""
    if seconds is None:
        return await call(*args)
    with trio.move_on_after(seconds):
        return await call(*args)
    phase = error.__name__.removesuffix("Timeout").lower()
    raise error(f"{phase} took longer than {seconds:g} s")


async def _body_of(request: httpx.Request) -> bytes:
    if isinstance(request.stream, httpx.ByteStream):
        return b"".join(request.stream)
    assert isinstance(request.stream, httpx.AsyncByteStream)
    return b"".join([part async for part in request.stream])


def _proxy_server(given: str | httpx.URL | httpx.Proxy) -> ProxyServer:
    bound = "an HTTP proxy (for SOCKS, bring an httpx.AsyncClient with httpx's own transport)"
    try:
        proxy = given if isinstance(given, httpx.Proxy) else httpx.Proxy(given)
    except (httpx.InvalidURL, ValueError):  # its words have the password
        raise ConfigError("proxy", bound, "another URL") from None
    if proxy.url.scheme not in ("http", "https"):
        raise ConfigError("proxy", bound, f"{proxy.url.scheme}://{proxy.url.host}")
    headers = list(proxy.headers.raw)
    if proxy.raw_auth is not None:
        headers.append((b"Proxy-Authorization", b"Basic " + b64encode(b":".join(proxy.raw_auth))))
    return ProxyServer(
        origin=origin_of(proxy.url), headers=tuple(headers), ssl_context=proxy.ssl_context
    )


@cache
def _default_ssl_context() -> ssl.SSLContext:
    """Return one context per process: creating it reads all trusted authorities."""
    return httpx.create_ssl_context()
