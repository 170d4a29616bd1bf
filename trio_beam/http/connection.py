"""One socket to a server, and HTTP/1.1 on it, one exchange at a time.

h11 decides what is HTTP. It is spared where it would only repeat itself: a head that was sent before
is not rendered again, and a response whose head can be read in one way only (`fast_head`) is read
without it. Otherwise h11 is told of the request first, and reads the response from its first byte.
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
#: Most pieces of a response that are read while its request is being sent.
_MAX_EARLY = 64
#: Most heads that are read for one response.
_MAX_INTERIM = 100


#: What a response begins with that could be taken for the answer to another request. An error cannot: servers
#: send one on a connection that has been idle for too long, before they close it (408).
_ANSWER = re.compile(rb"\s*HTTP/\d(?:\.\d)? [23]")
#: Seconds in which an encrypted connection with something to read tells what it is.
_LOOK = 0.05


class ClosedWhileIdle(Exception):
    """A kept-alive connection turned out to be closed before a byte of a response came."""


class Unasked(httpx.RemoteProtocolError):
    """A server has answered something that nobody asked, so its answers may be those to other requests."""

    def __init__(self) -> None:
        super().__init__(
            "it sent an answer that nobody asked for, so that its answers may be to other requests"
        )


class Head(NamedTuple):
    """Status line and headers of a response, as they came."""

    status: int
    reason: bytes
    version: bytes
    headers: list[tuple[bytes, bytes]]


class Connection:
    """A socket, closed or open.

    An exchange is `send`, `read_head`, then `read_body` until None, or `read_whole`.
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
        self._rest = b""  # of what came with a plain head
        self._length = -1  # of a plain body, in bytes; -1: h11 counts
        self._missing = -1  # how many of them are still to come
        self._early: deque[bytes] = deque()

    async def open(self, proxy: ProxyServer | None, context: ssl.SSLContext | None) -> None:
        """Connect, past a proxy if there is one, and shake hands if the origin's scheme is https.

        Args:
            proxy: to connect to instead.
            context: for TLS; may be None where none is spoken.
        """
        # The socket is ours from the moment it exists, so that a cancelled handshake closes it.
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
            # Another object for the same socket: Trio's own offers no call without a checkpoint.
            self._raw = socket.socket(sock.family, sock.type, sock.proto, descriptor)
            self._raw.setblocking(False)

    async def send(self, outgoing: Outgoing) -> None:
        """Send a request, in one system call if the system takes it.

        A server may answer, and close, before it has taken everything in (413, for one): then the
        rest is not sent, and its response is what `read_head` finds. Always followed by `read_head`,
        which checkpoints; here there is a checkpoint only where something is waited for.
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
                return  # what was answered is still to be read
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
                nursery.cancel_scope.cancel(reason="the server takes no more of the request in")

            nursery.start_soon(listen)
            with suppress(trio.BrokenResourceError):
                await stream.send_all(data)
                self._sent = True
            nursery.cancel_scope.cancel(reason="the request is sent")

    async def read_head(self) -> Head:
        """Read the head of the response, behind any 1xx.

        Raises:
            ClosedWhileIdle: the connection had been used before, and nothing came.
            trio.BrokenResourceError: it was reset.
            h11.RemoteProtocolError: what came is not HTTP, or was cut short.
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
        # The head of the response to a HEAD tells the length of a body that does not come.
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
            # 1xx: the response proper is still to come.
        raise h11.RemoteProtocolError(f"{_MAX_INTERIM} interim answers (1xx) and no other")

    async def read_body(self) -> bytes | None:
        """Read the next piece of the body; None at its end.

        Raises:
            trio.BrokenResourceError, h11.RemoteProtocolError: it was cut short.
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

    def take_whole(self, limit: int) -> bytes | None:
        """Return a body that came with its head, as short ones do; None if it has to be read."""
        length, content = self._missing, self._rest
        if not 0 <= length <= min(limit, len(content)):
            return None
        self._missing = 0
        if len(content) == length:
            self._rest = b""
            return content
        self._rest = content[length:]
        return content[:length]

    async def read_whole(self, limit: int) -> bytes | None:
        """Read the body to its end; cheaper than piece by piece.

        Args:
            limit: longest body, in bytes.

        Returns:
            The body; None as soon as it is known to be longer.

        Raises:
            trio.BrokenResourceError, h11.RemoteProtocolError: it was cut short.
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
        # A bytearray and not a list of parts: a peer that sends byte by byte costs no more memory.
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
        """Read some bytes, first (unless not `early`) those that came while the request was sent."""
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
            # Nothing is there yet: to try first would cost an exception.
            await trio.lowlevel.wait_readable(raw)
            try:
                return raw.recv(_READ_SIZE)
            except BlockingIOError:
                continue
            except OSError as error:
                raise trio.BrokenResourceError from error

    def renew(self) -> bool:
        """Make ready for another exchange; False if one side wants to close.

        Raises:
            Unasked: an answer that nobody asked for follows.
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
        """Whether an idle connection has something to read: its end, or bytes that nobody asked for."""
        if self._poll is not None:
            return bool(self._poll.poll(0))
        assert self._socket is not None
        return bool(select.select([self._socket.socket.fileno()], [], [], 0)[0])

    @property
    def encrypted(self) -> bool:
        """Whether what is read from the socket is not yet the data."""
        return self._raw is None

    async def check_unasked(self) -> bool:
        """Whether there are bytes to read on an idle connection, and not only its end.

        They stay there, unless the connection is encrypted.

        Raises:
            Unasked: they are an answer.
        """
        data = b""
        with suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            if self._raw is not None:
                data = self._raw.recv(_READ_SIZE, socket.MSG_PEEK)
            else:
                assert self.stream is not None
                # Below TLS there are messages that are no data, such as a ticket.
                with trio.move_on_after(_LOOK):
                    data = bytes(await self.stream.receive_some(_READ_SIZE))
        if _ANSWER.match(data):
            raise Unasked
        return bool(data)

    def close(self) -> None:
        """Close the socket now, without any farewell."""
        if self._raw is not None:
            self._raw.detach()  # the descriptor is Trio's to close
        if self._socket is not None:
            self._socket.socket.close()
