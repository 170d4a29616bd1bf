"""A socket to a server that carries HTTP/1.1 exchanges, one at a time.

h11 implements the protocol, except where it would only repeat itself: a request head sent before is not
rendered again, and an unambiguous response head (`fast_head`) is parsed without it. Otherwise the
request is replayed to h11, which then reads the response from its first byte.
"""

from __future__ import annotations

import re
import select
import socket
import ssl
from collections import deque
from contextlib import suppress
from typing import NamedTuple

import h11
import httpx
import trio

from trio_beam.http.dial import MAX_HEAD, Origin, ProxyServer, connect, open_tunnel, start_tls
from trio_beam.http.fast_head import PlainHead, plain_head
from trio_beam.http.outgoing import Outgoing

_READ_SIZE = 65536
#: Maximum number of response parts read while the request is being sent.
_MAX_EARLY = 64
#: Maximum number of heads (1xx included) read for one response.
_MAX_INTERIM = 100


#: Beginning of a response that could be mistaken for the answer to another request. Errors cannot: servers
#: send them on idle connections before they close them (408).
_ANSWER = re.compile(rb"\s*HTTP/\d(?:\.\d)? [23]")
#: Seconds to find out what a readable encrypted connection holds.
_LOOK = 0.05


class ClosedWhileIdle(Exception):
    """A reused connection was closed before any byte of the response arrived."""


class Unasked(httpx.RemoteProtocolError):
    """A server sent an unrequested answer, so its other answers may belong to other requests."""

    def __init__(self) -> None:
        super().__init__(
            "it sent an answer that nobody asked for, so its answers may belong to other requests"
        )


class Head(NamedTuple):
    """Status line and headers of a response, as received."""

    status: int
    reason: bytes
    version: bytes
    headers: list[tuple[bytes, bytes]]


class Connection:
    """A connection, not yet open.

    An exchange is `send`, `read_head`, then `read_all`, or `read_body` until None.
    """

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.expires = 0.0
        self.stream: trio.abc.Stream | None = None
        self._socket: trio.SocketStream | None = None
        self._raw: socket.socket | None = None
        self._poll: select.poll | None = None
        self._used = False
        self._reset()

    def _reset(self) -> None:
        self._protocol: h11.Connection | None = None
        self._outgoing: Outgoing | None = None
        self._sent = False
        self._rest = b""  # bytes received after a plain head
        self._length = -1  # of a plain body, in bytes; -1: counted by h11
        self._missing = -1  # bytes of it still to come
        self._early: deque[bytes] = deque()

    async def open(self, proxy: ProxyServer | None, context: ssl.SSLContext | None) -> None:
        """Connect, through a proxy if given, and start TLS for an https origin.

        Args:
            proxy: the proxy to connect through.
            context: for TLS; may be None if neither side uses it.
        """
        # Stored at once, so that a cancelled handshake closes the socket.
        self._socket = await connect(proxy.origin if proxy else self.origin)
        stream: trio.abc.Stream = self._socket
        if proxy is not None and proxy.origin.scheme == b"https":
            known = proxy.ssl_context or context
            assert known is not None
            stream = await start_tls(stream, known, proxy.origin.host)
        if self.origin.scheme == b"https":
            if proxy is not None:
                await open_tunnel(stream, self.origin, proxy)
            assert context is not None
            stream = await start_tls(stream, context, self.origin.host)
        self._watch(self._socket, plain=stream is self._socket)
        self.stream = stream

    def _watch(self, stream: trio.SocketStream, *, plain: bool) -> None:
        sock = stream.socket
        descriptor = sock.fileno()
        if hasattr(select, "poll"):  # not on Windows
            self._poll = select.poll()
            self._poll.register(descriptor, select.POLLIN)
        if plain:
            # A second object for the same socket: every call on Trio's has a checkpoint.
            self._raw = socket.socket(sock.family, sock.type, sock.proto, descriptor)
            self._raw.setblocking(False)

    async def send(self, outgoing: Outgoing) -> None:
        """Send a request, in one system call if possible.

        A server may respond and close before reading all of it (with a 413, for example): the rest is then
        not sent, and `read_head` reads the response. Checkpoints only if it has to wait; the `read_head`
        that follows always does.
        """
        self._outgoing = outgoing
        data = outgoing.data
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._raw is not None:
            try:
                data = data[self._raw.send(data) :]
            except BlockingIOError:
                pass
            except OSError:
                return  # the response is still to be read
        if data:
            await self._send_and_listen(data)
        else:
            self._sent = True

    async def _send_and_listen(self, data: bytes) -> None:
        stream = self.stream
        assert stream is not None
        async with trio.open_nursery() as nursery:

            async def listen() -> None:
                with suppress(trio.BrokenResourceError):
                    while part := await self._receive(early=False):
                        self._early.append(part)
                        if len(self._early) == _MAX_EARLY:
                            break
                nursery.cancel_scope.cancel(reason="the server stopped reading the request")

            nursery.start_soon(listen)
            with suppress(trio.BrokenResourceError):
                await stream.send_all(data)
                self._sent = True
            nursery.cancel_scope.cancel(reason="the request is sent")

    async def read_head(self) -> Head:
        """Read the head of the response, skipping any 1xx.

        Raises:
            ClosedWhileIdle: a reused connection was closed before anything arrived.
            trio.BrokenResourceError: the connection was reset.
            h11.RemoteProtocolError: the data is not HTTP, or is truncated.
        """
        assert self._outgoing is not None
        try:
            data = await self._receive()
        except trio.BrokenResourceError:
            if self._used:
                raise ClosedWhileIdle from None
            raise
        if not data:
            if self._used:
                raise ClosedWhileIdle
            message = "the server closed the connection without an answer"
            raise h11.RemoteProtocolError(message)
        # The head of a response to HEAD states the length of a body that is not sent.
        head = plain_head(data) if self._outgoing.method != "HEAD" else None
        if head is not None:
            return self._begin_plain(head, data)
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self._outgoing.replay(self._protocol)
        self._protocol.receive_data(data)
        return await self._read_response()

    def _begin_plain(self, head: PlainHead, data: bytes) -> Head:
        self._rest = data[head.size :]
        self._length = self._missing = head.length
        return Head(head.status, head.reason, b"1.1", list(head.headers.items()))

    async def _read_response(self) -> Head:
        for _ in range(_MAX_INTERIM):
            event = await self._next_event()
            if isinstance(event, h11.Response):
                headers = event.headers.raw_items()
                return Head(event.status_code, bytes(event.reason), event.http_version, headers)
            # 1xx: the final response is still to come.
        raise h11.RemoteProtocolError(f"{_MAX_INTERIM} interim responses (1xx) and no final one")

    async def read_body(self) -> bytes | None:
        """Read the next part of the body; None at its end.

        Raises:
            trio.BrokenResourceError, h11.RemoteProtocolError: it was truncated.
        """
        if self._protocol is not None:
            event = await self._next_event()
            return bytes(event.data) if isinstance(event, h11.Data) else None
        if self._rest:
            part, self._rest = self._rest[: self._missing], self._rest[self._missing :]
            await trio.lowlevel.checkpoint()
        elif self._missing:
            part = await self._receive_more()
            part, self._rest = part[: self._missing], part[self._missing :]
        else:
            await trio.lowlevel.checkpoint()
            return None
        self._missing -= len(part)
        return part or None

    def take_buffered(self, limit: int) -> bytes | None:
        """Return the body if it arrived with the head, as short ones do; else None."""
        length, content = self._missing, self._rest
        if not 0 <= length <= min(limit, len(content)):
            return None
        self._missing = 0
        if len(content) == length:
            self._rest = b""
            return content
        self._rest = content[length:]
        return content[:length]

    async def read_all(self, limit: int) -> bytes | None:
        """Read the body to its end; cheaper than in parts.

        Args:
            limit: maximum size in bytes.

        Returns:
            The body; None as soon as it exceeds the limit.

        Raises:
            trio.BrokenResourceError, h11.RemoteProtocolError: it was truncated.
        """
        if self._protocol is None:
            return await self._read_plain(limit)
        content = bytearray()
        while (part := await self.read_body()) is not None:
            content += part
            if len(content) > limit:
                return None
        return bytes(content)

    async def _read_plain(self, limit: int) -> bytes | None:
        length = self._missing
        if length > limit:
            return None
        # A bytearray rather than a list of parts bounds memory when a peer sends single bytes.
        content = bytearray(self._rest)
        while len(content) < length:
            self._missing = length - len(content)
            content += await self._receive_more()
        self._missing = 0
        self._rest = bytes(content[length:])
        del content[length:]
        return bytes(content)

    async def _receive_more(self) -> bytes:
        part = await self._receive()
        if not part:
            came = self._length - self._missing
            message = f"the server closed the connection after {came} of {self._length} bytes"
            raise h11.RemoteProtocolError(message)
        return part

    async def _next_event(self) -> h11.Event | type[h11.PAUSED]:
        assert self._protocol is not None
        while (event := self._protocol.next_event()) is h11.NEED_DATA:
            self._protocol.receive_data(await self._receive())
        return event  # type: ignore[return-value]  # h11 does not type its sentinels

    async def _receive(self, *, early: bool = True) -> bytes:
        """Read some bytes; with `early`, first those that arrived while the request was being sent."""
        if self._early and early:
            await trio.lowlevel.checkpoint()
            return self._early.popleft()
        raw = self._raw
        if raw is None:
            assert self.stream is not None
            return bytes(await self.stream.receive_some(_READ_SIZE))
        while True:
            if raw.fileno() < 0:
                raise trio.ClosedResourceError
            # Wait first: usually no data is there yet, and trying would cost an exception.
            await trio.lowlevel.wait_readable(raw)
            try:
                return raw.recv(_READ_SIZE)
            except BlockingIOError:
                continue
            except OSError as error:
                raise trio.BrokenResourceError from error

    def renew(self) -> bool:
        """Reset for another exchange; return False if the connection cannot be reused.

        Raises:
            Unasked: another, unrequested answer follows.
        """
        protocol = self._protocol
        if protocol is None:
            done, rest, ended = self._missing == 0, self._rest, False
        else:
            done = protocol.our_state is protocol.their_state is h11.DONE
            rest, ended = protocol.trailing_data
        rest += b"".join(self._early)
        if _ANSWER.match(rest):
            raise Unasked
        done = done and self._sent and not (rest or ended)
        self._reset()
        self._used = True
        return done

    def is_readable(self) -> bool:
        """Return whether an idle connection is readable: closed, or with unrequested bytes on it."""
        if self._poll is not None:
            return bool(self._poll.poll(0))
        assert self._socket is not None
        return bool(select.select([self._socket.socket.fileno()], [], [], 0)[0])

    @property
    def encrypted(self) -> bool:
        """Whether the socket carries TLS records."""
        return self._raw is None

    async def check_unasked(self) -> bool:
        """Return whether a readable idle connection holds bytes, not just its end.

        The bytes are not consumed, unless the connection is encrypted.

        Raises:
            Unasked: they are an answer.
        """
        data = b""
        with suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            if self._raw is not None:
                data = self._raw.recv(_READ_SIZE, socket.MSG_PEEK)
            else:
                assert self.stream is not None
                # TLS has messages without data, such as session tickets.
                with trio.move_on_after(_LOOK):
                    data = bytes(await self.stream.receive_some(_READ_SIZE))
        if _ANSWER.match(data):
            raise Unasked
        return bool(data)

    def close(self) -> None:
        """Close the socket immediately, without a TLS shutdown."""
        if self._raw is not None:
            self._raw.detach()  # the descriptor is Trio's to close
        if self._socket is not None:
            self._socket.socket.close()
