"""Render requests to bytes, reusing rendered heads.

h11 checks and renders every head once. After that only ``content-length`` changes, which comes last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import h11
import httpx

_LENGTH = b"content-length"
_FRAMING = (_LENGTH, b"transfer-encoding")
#: Maximum number of cached heads; an endpoint has about three, unless a hook varies them.
_MAX_CACHED = 64


class Outgoing(NamedTuple):
    """A request ready to be sent.

    Attributes:
        data: its bytes, head and body.
        method: such as ``POST``.
        target: the path, or the full URL for a proxy.
        headers: as given; a missing length is added.
        body: the bytes after the head.
    """

    data: bytes
    method: str
    target: bytes
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes

    def replay(self, protocol: h11.Connection) -> bytes:
        """Send the request through h11; return its bytes.

        Raises:
            h11.LocalProtocolError: HTTP does not allow the request.
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


class _CachedHead(NamedTuple):
    """A rendered head without its empty line (None: h11 must frame the body), and its headers."""

    head: bytes | None
    headers: Sequence[tuple[bytes, bytes]]


class Renderer:
    """Renders requests and caches their heads.

    Args:
        proxy_headers: headers for the proxy that plain-http requests go to, which needs the full URL.
            None: they go to the server.
    """

    def __init__(self, proxy_headers: Sequence[tuple[bytes, bytes]] | None = None) -> None:
        self._proxy_headers = proxy_headers
        self._cache: dict[tuple[object, ...], _CachedHead] = {}

    def render(self, request: httpx.Request, body: bytes) -> Outgoing:
        """Render a request.

        Raises:
            h11.LocalProtocolError: HTTP does not allow the request.
        """
        target, headers = request.url.raw_path, request.headers.raw
        if self._proxy_headers is not None and request.url.raw_scheme == b"http":
            target = b"http://%s%s" % (request.url.netloc, target)
            headers += self._proxy_headers
        known = self._cache.get((request.method, target, tuple(headers)))
        if known is None or known.head is None:
            return self._render_with_h11(request.method, target, headers, body)
        return Outgoing(_framed(known.head, body), request.method, target, known.headers, body)

    def _render_with_h11(
        self, method: str, target: bytes, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> Outgoing:
        lengths = [value for name, value in headers if name.lower() == _LENGTH]
        others = tuple([field for field in headers if field[0].lower() != _LENGTH])
        head = self._cached(method, target, others).head
        if head is not None and lengths in ([], [b"%d" % len(body)]):
            data = _framed(head, body, always=bool(lengths))
            return Outgoing(data, method, target, headers, body)
        outgoing = Outgoing(b"", method, target, headers, body)
        return outgoing._replace(data=outgoing.replay(h11.Connection(h11.CLIENT)))

    def _cached(
        self, method: str, target: bytes, headers: tuple[tuple[bytes, bytes], ...]
    ) -> _CachedHead:
        key = method, target, headers
        if key not in self._cache:
            if len(self._cache) == _MAX_CACHED:
                self._cache.clear()
            event = h11.Request(method=method, target=target, headers=list(headers))
            rendered = h11.Connection(h11.CLIENT).send(event)
            assert rendered is not None
            chunked = any(name == b"transfer-encoding" for name, _ in event.headers)
            head = None if chunked else rendered.removesuffix(b"\r\n")
            self._cache[key] = _CachedHead(head, headers)
        return self._cache[key]


def _framed(head: bytes, body: bytes, *, always: bool = False) -> bytes:
    if not body and not always:
        return head + b"\r\n"
    return b"%scontent-length: %d\r\n\r\n%s" % (head, len(body), body)
