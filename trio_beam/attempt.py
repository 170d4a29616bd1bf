"""One attempt of a request: the border to httpx, whose errors become ours here and nowhere else."""

from __future__ import annotations

import math
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import msgspec
import trio

from trio_beam.dialects.refusals import describe, error_of
from trio_beam.errors import (
    AttemptTimeout,
    ConfigError,
    ConnectionFailed,
    EndpointError,
    MalformedResponse,
    TrioBeamError,
)
from trio_beam.transport import BODY, Body, TrioTransport

if TYPE_CHECKING:
    from trio_beam.address import Address
    from trio_beam.dialects.base import WireRequest

T = TypeVar("T")


class HttpClient:
    """The connections of an endpoint.

    Args:
        address: where it is, and the headers to send.
        attempt_timeout: seconds for one attempt, from connecting to the last byte; None: no limit.
        connect_timeout: seconds for connecting; None: no limit of its own.
        keepalive_expiry: seconds after which an idle connection is not used again.
        most_bytes: longest body that is read, decompressed.
        client: the caller's own, used as it is and not closed; None: one over `TrioTransport`.
    """

    def __init__(
        self,
        address: Address,
        *,
        attempt_timeout: float | None,
        connect_timeout: float | None,
        keepalive_expiry: float,
        most_bytes: int,
        client: httpx.AsyncClient | None,
    ) -> None:
        if client is not None and not isinstance(client, httpx.AsyncClient):
            raise ConfigError("http_client", "an httpx.AsyncClient", client)
        self._address = address
        self._limit = math.inf if attempt_timeout is None else attempt_timeout
        self._connect_timeout = connect_timeout
        self._timeout = httpx.Timeout(None, connect=connect_timeout)
        self._keepalive_expiry = keepalive_expiry
        self._most_bytes = most_bytes
        self._given = client
        self._client: httpx.AsyncClient | None = None
        self._transport: TrioTransport | None = None

    def open(self) -> None:
        """Make ready; sends nothing."""
        if self._client is not None:
            raise TrioBeamError("this endpoint is open already")
        if self._given is not None:
            self._client = self._given
        else:
            self._transport = TrioTransport(keepalive_expiry=self._keepalive_expiry)
            # Proxies and .netrc of the environment are not read: for those, bring a client.
            self._client = httpx.AsyncClient(transport=self._transport, trust_env=False)

    async def aclose(self) -> None:
        """Close every connection; a client of the caller's stays open."""
        client, self._client = self._client, None
        if client is not None and self._given is None:
            await client.aclose()
        else:
            await trio.lowlevel.checkpoint()

    @property
    def open_connections(self) -> int | None:
        """Sockets open now, idle ones included; None with a client of the caller's."""
        if self._given is not None:
            return None
        return self._transport.open_connections if self._transport else 0

    async def attempt(self, request: WireRequest[T]) -> T:
        """Send a request once and decode its answer.

        Raises:
            EndpointError: whatever went wrong.
        """
        url = self._address.url(request.path, at_root=request.at_root)
        with trio.move_on_after(self._limit) as scope:
            response, body = await self._exchange(request, url)
        if scope.cancelled_caught:
            raise AttemptTimeout(f"no answer within attempt_timeout={self._limit:g} s", url=url)
        if not response.is_success:
            raise self._refusal(response, body, url)
        return self._decoded(request, response, body, url)

    async def _exchange(self, request: WireRequest[Any], url: str) -> tuple[httpx.Response, bytes]:
        if self._client is None:
            raise TrioBeamError(
                "the endpoint is not open: use it inside `async with Endpoint(...)`"
            )
        built = self._client.build_request(
            "GET" if request.body is None else "POST",
            url,
            content=request.body,
            headers=self._address.headers,
            timeout=self._timeout,
        )
        try:
            response = await self._client.send(built, stream=True)
            async with aclosing(response):
                body = await self._body(response)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise self._translated(error, url) from error
        if body is None:
            raise MalformedResponse(f"the answer is longer than {self._most_bytes} bytes", url=url)
        return response, body

    async def _body(self, response: httpx.Response) -> bytes | None:
        """The whole body, decompressed; None if it is too long."""
        ours: Body | None = response.extensions.get(BODY)
        if ours is None:  # the caller's own client
            content = await response.aread()
        else:
            raw = await ours.read(self._most_bytes)
            if raw is None or "content-encoding" not in response.headers:
                return raw
            content = httpx.Response(200, headers=response.headers, content=raw).content
        return None if len(content) > self._most_bytes else content

    def _translated(self, error: Exception, url: str) -> EndpointError:
        words = self._address.redact(str(error)) or type(error).__name__
        if isinstance(error, httpx.ConnectTimeout):
            return AttemptTimeout(f"no connection within {self._connect_timeout:g} s", url=url)
        if isinstance(error, httpx.TimeoutException):
            return AttemptTimeout(words, url=url)
        if isinstance(error, httpx.DecodingError):
            message = f"the body cannot be decoded: {words}"
            return MalformedResponse(message, url=url, transient=True)
        if isinstance(error, httpx.LocalProtocolError):
            raise ConfigError("the request", f"one that HTTP allows ({words})", url)
        never_sent = isinstance(error, httpx.ConnectError)
        kind = "cannot connect" if never_sent else "connection lost"
        return ConnectionFailed(f"{kind}: {words}", url=url, never_sent=never_sent)

    def _refusal(self, response: httpx.Response, body: bytes, url: str) -> EndpointError:
        error = error_of(response.status_code, response.headers, body, url=url, now=time.time())
        # The words, not the body: JSON may spell a secret in more than one way.
        error.message = self._address.redact(error.message)
        error.args = (error.message,)
        return error

    def _decoded(
        self, request: WireRequest[T], response: httpx.Response, body: bytes, url: str
    ) -> T:
        try:
            return request.decode(body)
        except msgspec.ValidationError as error:
            shown = self._address.redact(describe(body))
            raise MalformedResponse(f"unexpected answer: {error}: {shown}", url=url) from None
        except msgspec.DecodeError:
            shown = self._address.redact(describe(body))
            # A page of HTML is a wrong address, not a broken body.
            transient = "html" not in response.headers.get("content-type", "")
            raise MalformedResponse(
                f"the answer is not JSON: {shown}", url=url, transient=transient
            ) from None
