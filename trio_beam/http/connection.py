"""One socket to a server, and HTTP/1.1 on it."""

from __future__ import annotations

import select
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from typing import NamedTuple, TypeAlias

import h11
import trio

from trio_beam.http.fast_head import PlainHead, plain_head

#: Scheme (``http`` or ``https``), host, port.
Origin: TypeAlias = tuple[bytes, str, int]
_READ_SIZE = 65536
#: Most bytes of status line and headers in an answer.
_MAX_HEAD = 128 * 1024
#: Requests of so many bytes may not fit into the system's buffers, and are sent while listening.
_LONG = 64 * 1024
#: Most pieces of an answer that are read while its request is being sent.
_MOST_EARLY = 64
#: Most heads that are read for one answer.
_MOST_INTERIM = 100


class ClosedWhileIdle(Exception):
    """A kept-alive connection turned out to be closed before a byte of an answer came."""


class Answer(NamedTuple):
    """An answer that was read as a whole.

    Attributes:
        status: its number.
        headers: names in lower case, in the order of the wire.
        content: the body as it was sent; None if it is too long.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    content: bytes | None


class Connection:
    """A socket, closed or open, that carries one exchange at a time.

    An exchange is `send`, then either `read_answer`, or `read_head` and `read_body` until None.
    """

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.expires = 0.0
        self.stream: trio.abc.Stream | None = None
        self._socket: trio.SocketStream | None = None
        self._protocol: h11.Connection | None = None
        self._used = False
        self._plainly_done = False
        self._sent = False
        self._heard = False
        self._early: deque[bytes] = deque()

    async def open(self, context: Callable[[], ssl.SSLContext]) -> None:
        """Connect, and shake hands if the origin's scheme is https."""
        scheme, host, port = self.origin
        # The socket is ours from the moment it exists, so that a cancelled handshake closes it.
        self.stream = self._socket = await _dial(host, port)
        if scheme == b"https":
            tls = trio.SSLStream(
                self._socket, context(), server_hostname=host, https_compatible=True
            )
            await tls.do_handshake()
            self.stream = tls

    def begin(self, head: h11.Request, body: bytes) -> bytes:
        """Let h11 follow this exchange; what is to be sent for it."""
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)
        data = self._protocol.send(head) or b""
        if body:
            data += self._protocol.send(h11.Data(data=body)) or b""
        return data + (self._protocol.send(h11.EndOfMessage()) or b"")

    async def send(self, data: bytes) -> None:
        """Send a request, as one piece.

        A server may answer, and close, before it has taken everything in (413, for one): then the
        rest is not sent, and its answer is what `read_answer` and `read_head` find.
        """
        assert self.stream is not None
        with suppress(trio.BrokenResourceError):  # what was answered is still to be read
            if len(data) < _LONG:
                await self.stream.send_all(data)
                self._sent = True
            else:
                await self._send_and_listen(self.stream, data)

    async def _send_and_listen(self, stream: trio.abc.Stream, data: bytes) -> None:
        async with trio.open_nursery() as nursery:

            async def listen() -> None:
                with suppress(trio.BrokenResourceError):
                    while part := await self._read_some():
                        self._early.append(part)
                        if len(self._early) == _MOST_EARLY:
                            break
                nursery.cancel_scope.cancel(reason="the server takes no more of the request in")

            nursery.start_soon(listen)
            with suppress(trio.BrokenResourceError):
                await stream.send_all(data)
                self._sent = True
            nursery.cancel_scope.cancel(reason="the request is sent")

    async def read_answer(
        self, request: Callable[[], h11.Request], body: bytes, most: int
    ) -> Answer:
        """The whole answer to a request that `begin` was not told of.

        Args:
            request: what was sent, for h11, should it be needed.
            body: what was sent behind it.
            most: longest body, in bytes.

        Raises:
            ClosedWhileIdle: as `send` does.
            h11.RemoteProtocolError: it is not HTTP, or was cut short.
        """
        data = b""
        try:
            data = await self._receive()
        except trio.BrokenResourceError:
            if self._used:
                raise ClosedWhileIdle from None
            raise
        if (head := plain_head(data)) is not None:
            return await self._read_plain(head, data, most)
        self.begin(request(), body)
        assert self._protocol is not None
        self._protocol.receive_data(data)
        response = await self.read_head()
        return Answer(response.status_code, list(response.headers), await self._read_parts(most))

    async def _read_plain(self, head: PlainHead, data: bytes, most: int) -> Answer:
        headers = list(head.headers.items())
        if head.length > most:
            return Answer(head.status, headers, None)
        content = data[head.size :]
        if len(content) < head.length:
            content = await self._read_rest(bytearray(content), head.length)
        self._plainly_done = len(content) == head.length
        return Answer(head.status, headers, content[: head.length])

    async def _read_rest(self, content: bytearray, length: int) -> bytes:
        # A bytearray and not a list of parts: a peer that sends byte by byte costs no more memory.
        while len(content) < length:
            part = await self._receive()
            if not part:
                message = f"the server closed the connection after {len(content)} of {length} bytes"
                raise h11.RemoteProtocolError(message)
            content += part
        return bytes(content)

    async def _read_parts(self, most: int) -> bytes | None:
        content = bytearray()
        while (part := await self.read_body()) is not None:
            content += part
            if len(content) > most:
                return None
        return bytes(content)

    async def read_head(self) -> h11.Response:
        """The head of the answer, behind any 1xx.

        Raises:
            ClosedWhileIdle: as `send` does.
            h11.RemoteProtocolError: it is not HTTP, or was cut short.
        """
        assert self._protocol is not None
        for _ in range(_MOST_INTERIM):
            try:
                event = await self._next_event()
            except (trio.BrokenResourceError, h11.RemoteProtocolError) as error:
                if self._heard:
                    raise
                if self._used:
                    raise ClosedWhileIdle from None
                if isinstance(error, h11.RemoteProtocolError):
                    message = "the server closed the connection without an answer"
                    raise h11.RemoteProtocolError(message) from None
                raise
            if isinstance(event, h11.Response):
                return event
            # 1xx: the answer proper is still to come.
        raise h11.RemoteProtocolError(f"{_MOST_INTERIM} interim answers (1xx) and no other")

    async def read_body(self) -> bytes | None:
        """The next piece of the body; None at its end."""
        event = await self._next_event()
        return bytes(event.data) if isinstance(event, h11.Data) else None

    async def _next_event(self) -> h11.Event | type[h11.PAUSED]:
        assert self._protocol is not None
        while (event := self._protocol.next_event()) is h11.NEED_DATA:
            self._protocol.receive_data(await self._receive())
        return event  # type: ignore[return-value]  # h11 does not type its sentinels

    async def _receive(self) -> bytes:
        if self._early:
            await trio.lowlevel.checkpoint()
            return self._early.popleft()
        return await self._read_some()

    async def _read_some(self) -> bytes:
        assert self.stream is not None
        part = bytes(await self.stream.receive_some(_READ_SIZE))
        self._heard = self._heard or part != b""
        return part

    def renew(self) -> bool:
        """Make ready for another exchange; False if one side wants to close."""
        done, self._plainly_done = self._plainly_done, False
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            finished = protocol.our_state is protocol.their_state is h11.DONE
            # Neither bytes that nobody asked for, nor the end of the stream.
            done = finished and protocol.trailing_data == (b"", False)
        sent, self._sent = self._sent, False
        self._heard = False
        self._used = True
        return done and sent and not self._early

    def is_readable(self) -> bool:
        """Whether an idle connection has something to read, which means: was closed."""
        assert self._socket is not None
        return _peek(self._socket.socket)

    def close(self) -> None:
        """Close the socket now, without any farewell."""
        if self._socket is not None:
            self._socket.socket.close()


async def _dial(host: str, port: int) -> trio.SocketStream:
    """Connect; an address needs neither a thread that looks it up nor a race between several."""
    try:
        version = ip_address(host).version
    except ValueError:
        return await trio.open_tcp_stream(host, port)
    family = trio.socket.AF_INET if version == 4 else trio.socket.AF_INET6
    sock = trio.socket.socket(family, trio.socket.SOCK_STREAM)
    try:
        await sock.connect((host, port))
    except BaseException:
        sock.close()
        raise
    return trio.SocketStream(sock)


def _peek(sock: trio.socket.SocketType) -> bool:
    """Whether a read would return at once: data, an end of file or an error."""
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([sock.fileno()], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))
