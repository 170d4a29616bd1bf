"""Send one attempt of a request through an `httpx.AsyncClient`, an endpoint's own or a caller's."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar, cast

import httpx
import trio

from trio_beam.dialects.common.error_responses import error_of
from trio_beam.dialects.common.exchange import WireRequest
from trio_beam.dialects.common.watch import Abandoned, Watch
from trio_beam.errors import (
    AttemptTimeout,
    ConfigError,
    EndpointClosed,
    EndpointError,
    MalformedResponse,
    TrioBeamError,
)
from trio_beam.http.base_url import Address, carries_secret
from trio_beam.http.clients import (
    Content,
    OwnClient,
    check_client,
    is_same_host,
    pool_size,
    secrets_of,
)
from trio_beam.http.content import as_utf8, supported_codings
from trio_beam.http.reading import Response, pour, read, read_already, read_watched
from trio_beam.http.translation import decoded, translated
from trio_beam.http.words import Words

T = TypeVar("T")
_JSON = "application/json"
#: Called with the headers of a response.
Hear: TypeAlias = Callable[[Iterable[tuple[bytes, bytes]]], None]
#: Headers of the requests of a task and its children, besides the endpoint's: an id, for logs.
TASK_HEADERS: ContextVar[Mapping[str, str]] = ContextVar(
    "TASK_HEADERS", default=MappingProxyType({})
)


class HttpClient:
    """Sends an endpoint's requests through an `httpx.AsyncClient`, its own or the caller's.

    Args:
        address: base URL and headers.
        attempt_timeout: seconds for one attempt, from connecting to the last byte; None: no limit.
        connect_timeout: seconds for connecting; None: no separate limit.
        keepalive_expiry: seconds after which an idle connection is no longer used.
        max_bytes: maximum size of a decompressed body.
        client: the caller's client, used with its own timeouts and never closed; None: a client over
            `TrioTransport`.

    Attributes:
        words: makes foreign text safe to show.

    Raises:
        ConfigError: the client is not an `httpx.AsyncClient`.
    """

    def __init__(
        self,
        address: Address,
        *,
        attempt_timeout: float | None,
        connect_timeout: float | None,
        keepalive_expiry: float,
        max_bytes: int,
        client: httpx.AsyncClient | None,
    ) -> None:
        check_client(client)
        self._address = address
        self._limit = math.inf if attempt_timeout is None else attempt_timeout
        self._connect_timeout = connect_timeout
        self._keepalive_expiry = keepalive_expiry
        self._max_bytes = max_bytes
        self._given = client
        self._client: httpx.AsyncClient | None = None
        self._built: dict[tuple[str, str], httpx.Request] = {}
        self.words = Words(address.secrets)

    def open(self) -> None:
        """Prepare for requests, without sending any.

        Raises:
            TrioBeamError: the client is already open.
            ConfigError: the environment specifies an unsupported proxy.
        """
        if self._client is not None:
            raise TrioBeamError("this endpoint is open already")
        self._client = self._given or OwnClient(
            self._address.base_url,
            keepalive_expiry=self._keepalive_expiry,
            connect_timeout=self._connect_timeout,
        )
        self.words = Words({*self._address.secrets, *secrets_of(self._client)})
        self.words.watch_logs()
        self._built.clear()

    async def aclose(self) -> None:
        """Close all connections; leave a caller's client open."""
        client, self._client = self._client, None
        self.words.leave_logs()
        if isinstance(client, OwnClient):
            await client.aclose()
        else:
            await trio.lowlevel.checkpoint()

    async def aclose_given(self) -> None:
        """Close the caller's client, if there is one: here, where its connections were opened."""
        if self._given is not None:
            await self._given.aclose()

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent."""
        return self._client is not None

    @property
    def open_connections(self) -> int | None:
        """Number of open sockets, including idle ones; None with a caller's client."""
        if self._given is not None:
            return None
        return self._client.transport.open_connections if isinstance(self._client, OwnClient) else 0

    @property
    def unasked(self) -> int | None:
        """Connections closed for unrequested bytes; None with a caller's client."""
        if self._given is not None:
            return None
        return self._client.transport.unasked if isinstance(self._client, OwnClient) else 0

    @property
    def pool_size(self) -> int | None:
        """Maximum number of connections of a caller's client, if known.

        httpx's pool loses connections when requests are cancelled while waiting for one
        (encode/httpcore#1093), so no request may ever wait there.
        """
        return pool_size(self._given, self._address.base_url) if self._given else None

    async def attempt(self, request: WireRequest[T], hear: Hear = lambda _: None) -> T:
        """Send a request once and decode its response.

        Args:
            request: what to send.
            hear: called with the headers of the response, whatever its status.

        Raises:
            EndpointError: the attempt failed; the error is safe to show.
        """
        url = self._address.url(request.path, at_root=request.at_root)
        try:
            return await self._attempt(request, url, hear)
        except (EndpointError, ConfigError) as error:
            self.words.mend(error)
            raise

    async def _attempt(self, request: WireRequest[T], url: str, hear: Hear) -> T:
        limit = min(self._max_bytes, request.max_bytes)
        with trio.CancelScope(deadline=trio.current_time() + self._limit) as scope:
            watch = request.watch() if request.watch is not None else None
            response = await self._exchange(request, url, limit, watch)
        if scope.cancelled_caught:
            raise AttemptTimeout(f"no answer within attempt_timeout={self._limit:g} s", url=url)
        head, content, abandoned = response
        hear(head.headers.raw)
        if content is not None:
            content = as_utf8(content, head.charset_encoding)
        if not 200 <= head.status_code < 300:
            raise error_of(
                head.status_code,
                head.headers,
                content or b"",
                url=url,
                path=request.path,
                now=time.time(),
            )
        if content is None:
            why = (
                "max_answer_bytes"
                if limit == self._max_bytes
                else "more than its request justifies"
            )
            raise MalformedResponse(f"the response is longer than {limit} bytes ({why})", url=url)
        result = decoded(request, head, content, url)
        return cast("T", Abandoned(result)) if abandoned else result

    async def _exchange(
        self, request: WireRequest[Any], url: str, limit: int, watch: Watch | None
    ) -> Response:
        client = self._client
        if client is None:
            message = "the endpoint is not open: use it inside `async with Endpoint(...)`"
            raise EndpointClosed(message, url=url)
        if client.is_closed:
            raise EndpointClosed("the http_client is closed", url=url)
        try:
            response = await self._send(client, self._build(client, request, url))
            if request.sink is not None and response.is_success:
                return await pour(response, request.sink())
            if watch is not None and not response.is_stream_consumed:
                return await read_watched(response, limit, watch)
            return await read(response, limit)
        except httpx.HTTPStatusError as error:  # raised by a hook; handled like the response itself
            return read_already(error.response)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            if client is not self._client or client.is_closed:
                message = "the endpoint was closed while a request was in progress"
                raise EndpointClosed(message, url=url) from error
            own_limit = self._connect_timeout if self._given is None else None
            raise translated(error, url, own_limit) from error

    async def _send(self, client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
        """Send a request and follow redirects if the client does, without our secrets to other hosts.

        httpx itself removes only ``Authorization``. Bodies of redirects are not read.
        """
        if not client.follow_redirects:
            return await client.send(request, stream=True)
        response = await client.send(request, stream=True, follow_redirects=False)
        for _ in range(client.max_redirects):
            following = response.next_request
            if following is None:
                return response
            await response.aclose()
            if not is_same_host(response.url, following.url):
                for name in self._address.headers:
                    if carries_secret(name):
                        following.headers.pop(name, None)
            # The client's own authentication is in the headers already, or must not be sent there.
            response = await client.send(following, stream=True, auth=None, follow_redirects=False)
        if response.next_request is None:
            return response
        await response.aclose()
        raise httpx.TooManyRedirects(f"more than {client.max_redirects} redirects")

    def _build(
        self, client: httpx.AsyncClient, request: WireRequest[Any], url: str
    ) -> httpx.Request:
        body = request.body
        query = self._address.query
        target = url + (query.replace("?", "&", 1) if "?" in url else query)
        if client is self._given:
            # Rebuilt: its headers, cookies and timeouts may have changed since the last request.
            headers = {**self._headers(client), **_own_headers(request)}
            made = client.build_request(request.method, target, content=body, headers=headers)
            made.stream = Content(body or b"")
            return made
        built = self._built.get((request.method, url))
        if built is None:
            built = client.build_request(request.method, target, headers=self._headers(client))
            built.headers.pop("content-length", None)  # the transport adds the body's
            self._built[request.method, url] = built
        # A stream rather than content, for which httpx would inspect every header again.
        stream = Content(body or b"")
        return httpx.Request(
            request.method,
            built.url,
            headers={**built.headers, **more} if (more := _own_headers(request)) else built.headers,
            stream=stream,
            extensions=built.extensions,
        )

    def _headers(self, client: httpx.AsyncClient) -> dict[str, str]:
        codings = supported_codings(client.headers.get("accept-encoding", ""))
        return {"accept-encoding": codings, **self._address.headers}


def _own_headers(request: WireRequest[Any]) -> Mapping[str, str]:
    """Return the headers of one request, beside those of all."""
    if request.sink is None and request.content_type == _JSON:
        return TASK_HEADERS.get()
    plain = {"accept-encoding": "identity"} if request.sink is not None else {}
    return {"content-type": request.content_type, **plain, **TASK_HEADERS.get()}
