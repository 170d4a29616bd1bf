"""The endpoint's own `httpx.AsyncClient`, and checks of a caller's."""

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

#: For packages that do not import httpx.
AsyncClient: TypeAlias = httpx.AsyncClient


class OwnClient(httpx.AsyncClient):
    """A client over `TrioTransport` that keeps no cookies and adds no credentials.

    Cookies would link the requests of different searches, and handling them costs more than the rest of
    httpx.

    Args:
        base_url: the only server it is used for.
        keepalive_expiry: seconds after which an idle connection is no longer used.
        connect_timeout: seconds for connecting; None: no limit.

    Raises:
        ConfigError: the environment specifies an unsupported proxy.
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
            trust_env=False,  # proxies are read above
        )

    @property
    def cookies(self) -> httpx.Cookies:
        """Always empty."""
        return _NO_COOKIES

    @cookies.setter
    def cookies(self, cookies: object) -> None:  # noqa: ARG002  # the parent's signature
        raise AttributeError("this client keeps no cookies")


async def _stop_at_redirect(response: httpx.Response) -> None:  # noqa: ASYNC124  # httpx awaits it
    """Raise on a redirect before httpx parses its location, which may not be a URL."""
    if response.status_code >= 300 and response.has_redirect_location:
        raise httpx.HTTPStatusError("", request=response.request, response=response)


class Content(httpx.ByteStream):
    """A request body with an iterator.

    httpx's own has a generator, which a cancellation leaves unfinished: a `ResourceWarning` under Trio.
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
        """Discard them."""


_NO_COOKIES = _NoCookies()


class _NoAuth(httpx.Auth):
    """Sends requests unchanged and without a generator, which would cost as much as sending."""

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
        """Do nothing."""


def environment_proxy(url: str) -> str | None:
    """Return the proxy for a URL from the environment, or None.

    ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` are read by httpx's own function.
    Loopback addresses are never proxied: a remote proxy could not reach them.

    Raises:
        ConfigError: the environment holds something else.
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
    """Return whether two URLs have the same origin, or the second upgrades the first to https."""
    if one.raw_host != other.raw_host:
        return False
    return origin_of(one) == origin_of(other) or (one.scheme, other.scheme) == ("http", "https")


def pool_size(client: httpx.AsyncClient, url: str) -> int | None:
    """Return the maximum number of connections in a client's pool for a URL; None if unknown.

    httpx does not expose it, so this reads private attributes of httpx 0.28 and httpcore, which other
    transports lack.
    """
    transport = client._transport_for_url(httpx.URL(url))  # noqa: SLF001  # see above
    size = getattr(getattr(transport, "_pool", None), "_max_connections", None)
    return size if isinstance(size, int) else None


def secrets_of(client: httpx.AsyncClient) -> Iterator[str]:
    """Yield secrets that a client sends by itself: its headers, and its and its proxy's credentials."""
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
