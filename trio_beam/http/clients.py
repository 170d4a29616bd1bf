"""The endpoint's own `httpx.AsyncClient`, and what has to be known of a caller's."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import TypeAlias

import httpx
from httpx._utils import URLPattern, get_environment_proxies

from trio_beam.errors import ConfigError
from trio_beam.http.base_url import secrets_in_headers
from trio_beam.http.dial import origin_of
from trio_beam.http.transport import TrioTransport

#: For the rooms that do not know httpx.
AsyncClient: TypeAlias = httpx.AsyncClient


class OwnClient(httpx.AsyncClient):
    """A client over `TrioTransport` that keeps no cookies and adds no credentials.

    Cookies would tie the requests of searches together, and looking for them costs more than the rest of
    httpx.

    Args:
        base_url: the only server that is ever asked.
        keepalive_expiry: seconds after which an idle connection is not used again.
        connect_timeout: seconds for connecting; None: no limit.

    Raises:
        ConfigError: the environment names a proxy that cannot be used.
    """

    def __init__(
        self, base_url: str, *, keepalive_expiry: float, connect_timeout: float | None
    ) -> None:
        self.proxy = environment_proxy(base_url)
        self.transport = TrioTransport(keepalive_expiry=keepalive_expiry, proxy=self.proxy)
        super().__init__(
            transport=self.transport,
            timeout=httpx.Timeout(None, connect=connect_timeout),
            auth=_NoAuth(),
            event_hooks={"response": [_stop_at_redirect]},
            trust_env=False,  # what of it counts was read above
        )

    @property
    def cookies(self) -> httpx.Cookies:
        """None, and none are kept."""
        return _NO_COOKIES

    @cookies.setter
    def cookies(self, cookies: object) -> None:  # noqa: ARG002  # the parent's signature
        raise AttributeError("this client keeps no cookies")


async def _stop_at_redirect(response: httpx.Response) -> None:  # noqa: ASYNC124  # httpx awaits it
    """End a redirect by its status: httpx would read its location, which may be no URL."""
    if response.status_code >= 300 and response.has_redirect_location:
        raise httpx.HTTPStatusError("", request=response.request, response=response)


class Content(httpx.ByteStream):
    """The body of a request.

    httpx's own is read by a generator, which a cancellation leaves unfinished: a `ResourceWarning` on Trio.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._data = data

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Once(self._data)


class _Once(AsyncIterator[bytes]):
    def __init__(self, data: bytes) -> None:
        self._left: bytes | None = data

    async def __anext__(self) -> bytes:
        data, self._left = self._left, None
        if data is None:
            raise StopAsyncIteration
        return data


class _NoCookies(httpx.Cookies):
    def extract_cookies(self, response: httpx.Response) -> None:
        """Keep none."""


_NO_COOKIES = _NoCookies()


class _NoAuth(httpx.Auth):
    """Sends a request as it is; without a generator, which costs as much as sending."""

    def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        return _OneRequest(request)


class _OneRequest(AsyncGenerator[httpx.Request, httpx.Response]):
    def __init__(self, request: httpx.Request) -> None:
        self._request = request

    async def __anext__(self) -> httpx.Request:
        return self._request

    async def asend(self, value: httpx.Response | None) -> httpx.Request:  # noqa: ARG002
        raise StopAsyncIteration

    async def athrow(self, *args: object) -> httpx.Request:  # noqa: ARG002
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Nothing is open."""


def environment_proxy(url: str) -> str | None:
    """Return the proxy that the environment names for a URL, None if it names none.

    ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` mean what they mean to httpx, whose
    reader is borrowed. Only the loopback is never proxied: no proxy elsewhere could reach it.

    Raises:
        ConfigError: one of them is no such thing.
    """
    target = httpx.URL(url)
    if _is_loopback(target.host):
        return None
    try:
        found = {URLPattern(key): proxy for key, proxy in get_environment_proxies().items()}
    except (httpx.InvalidURL, ValueError):
        names = "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY"
        raise ConfigError(names, "URLs and hosts", "what the environment says") from None
    return next((found[pattern] for pattern in sorted(found) if pattern.matches(target)), None)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def is_same_host(one: httpx.URL, other: httpx.URL) -> bool:
    """Whether a URL leads to where another does, or there by way of TLS."""
    if one.raw_host != other.raw_host:
        return False
    return origin_of(one) == origin_of(other) or (one.scheme, other.scheme) == ("http", "https")


def pool_size(client: httpx.AsyncClient, url: str) -> int | None:
    """Return the most connections of a client's pool for a URL; None: no limit is known.

    httpx tells nobody, so it is looked up where httpx 0.28 and httpcore keep it; a transport of
    another kind has no such attributes.
    """
    transport = client._transport_for_url(httpx.URL(url))  # noqa: SLF001  # see above
    size = getattr(getattr(transport, "_pool", None), "_max_connections", None)
    return size if isinstance(size, int) else None


def secrets_of(client: httpx.AsyncClient) -> Iterator[str]:
    """What a client sends by itself and must not be shown: its headers, its and its proxy's credentials."""
    yield from secrets_in_headers(client.headers)
    if isinstance(client, OwnClient) and client.proxy is not None:
        proxy = httpx.Proxy(client.proxy)
        yield from (word for word in proxy.auth or () if word)
    known = getattr(
        client.auth, "_auth_header", ""
    )  # of httpx's own `BasicAuth`, which tells nobody
    yield from secrets_in_headers({"authorization": known})


def check_client(client: object) -> None:
    """Raise `ConfigError` unless it is None or an `httpx.AsyncClient`."""
    if client is not None and not isinstance(client, httpx.AsyncClient):
        raise ConfigError("http_client", "an httpx.AsyncClient", client)
