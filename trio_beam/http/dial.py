"""Open a stream to a server: by address or name, over TLS, through a proxy.

Each step returns its stream to the caller, so a cancellation between steps leaks nothing.
"""

from __future__ import annotations

import ssl
from ipaddress import ip_address
from typing import NamedTuple

import attrs
import h11
import httpx
import trio

#: Maximum size of a response's status line and headers, in bytes.
MAX_HEAD = 128 * 1024
_PORTS = {b"http": 80, b"https": 443}


class Origin(NamedTuple):
    """The target of a connection.

    Attributes:
        scheme: ``http`` or ``https``.
        host: name or address in ASCII; IPv6 without brackets.
        port: port number.
    """

    scheme: bytes
    host: str
    port: int


def origin_of(url: httpx.URL) -> Origin:
    """Return the origin of a URL.

    Raises:
        httpx.UnsupportedProtocol: the URL is neither http nor https.
    """
    scheme = url.raw_scheme
    if scheme not in _PORTS:
        raise httpx.UnsupportedProtocol(f"neither http nor https: {url}")
    host = url.raw_host.decode("ascii")
    if ":" in host:
        host = host.replace("%25", "%")  # in front of a zone (RFC 6874)
    return Origin(scheme, host, url.port or _PORTS[scheme])


@attrs.frozen(kw_only=True, eq=False)
class ProxyServer:
    """An HTTP proxy.

    Attributes:
        origin: where it listens.
        headers: for the proxy itself, including its credentials.
        ssl_context: for an https proxy; None: the same as for servers.
    """

    origin: Origin
    headers: tuple[tuple[bytes, bytes], ...]
    ssl_context: ssl.SSLContext | None


async def connect(origin: Origin) -> trio.SocketStream:
    """Connect to an origin; an address skips the name lookup and the race between its results.

    Raises:
        OSError: the host cannot be reached.
    """
    try:
        version = ip_address(origin.host).version
    except ValueError:
        return await trio.open_tcp_stream(origin.host, origin.port)
    family = trio.socket.AF_INET if version == 4 else trio.socket.AF_INET6
    sock = trio.socket.socket(family, trio.socket.SOCK_STREAM)
    try:
        await sock.connect((origin.host, origin.port))
    except BaseException:
        sock.close()
        raise
    return trio.SocketStream(sock)


async def start_tls(
    stream: trio.abc.Stream, context: ssl.SSLContext, host: str
) -> trio.SSLStream[trio.abc.Stream]:
    """Start TLS on a stream, which stays open if the handshake fails.

    Raises:
        ssl.SSLError, trio.BrokenResourceError: the handshake failed.
    """
    tls = trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
    await tls.do_handshake()
    return tls


async def open_tunnel(stream: trio.abc.Stream, target: Origin, proxy: ProxyServer) -> None:
    """Open a tunnel through a proxy (``CONNECT``, RFC 9110, 9.3.6).

    Raises:
        httpx.ProxyError: the proxy refused.
        h11.RemoteProtocolError: the proxy does not speak HTTP.
    """
    host = f"[{target.host}]" if ":" in target.host else target.host
    name = f"{host}:{target.port}".encode()
    protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
    head = h11.Request(method=b"CONNECT", target=name, headers=[(b"host", name), *proxy.headers])
    request = (protocol.send(head) or b"") + (protocol.send(h11.EndOfMessage()) or b"")
    await stream.send_all(request)
    while not isinstance(event := protocol.next_event(), h11.Response):
        if event is h11.NEED_DATA:
            protocol.receive_data(bytes(await stream.receive_some()))
    if not 200 <= event.status_code < 300:
        reason = bytes(event.reason).decode("latin-1")
        raise httpx.ProxyError(f"the proxy answered {event.status_code} {reason}".rstrip())
