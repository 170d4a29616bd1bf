"""Requests as bytes: a head that was rendered once is used again, with another length.

h11 checks and renders every head the first time. After that only ``content-length`` changes, which
comes last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import h11
import httpx

_LENGTH = b"content-length"
_FRAMING = (_LENGTH, b"transfer-encoding")
#: Heads that are remembered; an endpoint has about three, but a hook may make each another.
_MAX_KNOWN = 64


class Outgoing(NamedTuple):
    """A request, ready to be sent.

    Attributes:
        data: all of its bytes.
        method: ``POST``, for example.
        target: the path, or the whole URL for a proxy.
        headers: as they were given; a body without any length has its own added.
        body: what follows the head.
    """

    data: bytes
    method: str
    target: bytes
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes

    def replay(self, protocol: h11.Connection) -> bytes:
        """Let h11 send the same; return its bytes.

        Raises:
            h11.LocalProtocolError: HTTP does not allow such a request.
        """
        headers = list(self.headers)
        framed = any(name.lower() in _FRAMING for name, _ in headers)
        if self.body and not framed:
            headers.append((_LENGTH, b"%d" % len(self.body)))
        head = h11.Request(method=self.method, target=self.target, headers=headers)
        data = protocol.send(head) or b""
        if self.body:
            data += protocol.send(h11.Data(data=self.body)) or b""
        return data + (protocol.send(h11.EndOfMessage()) or b"")


class _Known(NamedTuple):
    """A head that was rendered: without its empty line (None: h11 frames the body), and its headers."""

    head: bytes | None
    headers: Sequence[tuple[bytes, bytes]]


class Renderer:
    """Makes bytes of requests; remembers heads.

    Args:
        proxy_headers: where plain-http requests go to a proxy, which wants the whole URL: headers
            for the proxy. None: they go to the server.
    """

    def __init__(self, proxy_headers: Sequence[tuple[bytes, bytes]] | None = None) -> None:
        self._proxy_headers = proxy_headers
        self._known: dict[tuple[object, ...], _Known] = {}

    def render(self, request: httpx.Request, body: bytes) -> Outgoing:
        """Return a request as bytes.

        Raises:
            h11.LocalProtocolError: HTTP does not allow such a request.
        """
        target, headers = request.url.raw_path, request.headers.raw
        if self._proxy_headers is not None and request.url.raw_scheme == b"http":
            target = b"http://%s%s" % (request.url.netloc, target)
            headers += self._proxy_headers
        known = self._known.get((request.method, target, tuple(headers)))
        if known is None or known.head is None:
            return self._render_slowly(request.method, target, headers, body)
        return Outgoing(_framed(known.head, body), request.method, target, known.headers, body)

    def _render_slowly(
        self, method: str, target: bytes, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> Outgoing:
        lengths = [value for name, value in headers if name.lower() == _LENGTH]
        others = tuple([field for field in headers if field[0].lower() != _LENGTH])
        head = self._know(method, target, others).head
        if head is not None and lengths in ([], [b"%d" % len(body)]):
            data = _framed(head, body, always=bool(lengths))
            return Outgoing(data, method, target, headers, body)
        outgoing = Outgoing(b"", method, target, headers, body)
        return outgoing._replace(data=outgoing.replay(h11.Connection(h11.CLIENT)))

    def _know(self, method: str, target: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> _Known:
        key = method, target, headers
        if key not in self._known:
            if len(self._known) == _MAX_KNOWN:
                self._known.clear()
            event = h11.Request(method=method, target=target, headers=list(headers))
            rendered = h11.Connection(h11.CLIENT).send(event)
            assert rendered is not None
            chunked = any(name == b"transfer-encoding" for name, _ in event.headers)
            head = None if chunked else rendered.removesuffix(b"\r\n")
            self._known[key] = _Known(head, headers)
        return self._known[key]


def _framed(head: bytes, body: bytes, *, always: bool = False) -> bytes:
    if not body and not always:
        return head + b"\r\n"
    return b"%scontent-length: %d\r\n\r\n%s" % (head, len(body), body)
