"""One attempt of a request: the border to httpx, whose errors become ours here and nowhere else."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any, TypeVar, cast

import httpx
import msgspec
import trio

from trio_beam.dialects.common.dialect import WireRequest
from trio_beam.dialects.common.error_responses import describe, error_of
from trio_beam.errors import (
    AttemptTimeout,
    ConfigError,
    ConnectionFailed,
    EndpointError,
    MalformedResponse,
    TrioBeamError,
)
from trio_beam.http.base_url import Address
from trio_beam.http.connection import Answer
from trio_beam.http.transport import Template, TrioTransport

T = TypeVar("T")
#: Compressed bytes that are decompressed at once; they may become a thousand times as many.
_SLICE = 1024
#: What was asked for, and its other name.
_CODINGS = frozenset({b"gzip", b"x-gzip", b"deflate"})


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
        self._keepalive_expiry = keepalive_expiry
        self._most_bytes = most_bytes
        self._given = client
        self._client: httpx.AsyncClient | None = None
        self._transport: TrioTransport | None = None
        self._templates: dict[tuple[str, str], Template] = {}

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
            answer = await self._exchange(request, url)
        if scope.cancelled_caught:
            raise AttemptTimeout(f"no answer within attempt_timeout={self._limit:g} s", url=url)
        if answer.content is None:
            raise MalformedResponse(f"the answer is longer than {self._most_bytes} bytes", url=url)
        if not 200 <= answer.status < 300:
            raise self._refusal(answer, url)
        return self._decoded(request, answer, url)

    async def _exchange(self, request: WireRequest[Any], url: str) -> Answer:
        if self._client is None:
            raise TrioBeamError(
                "the endpoint is not open: use it inside `async with Endpoint(...)`"
            )
        try:
            if self._transport is None:
                return await self._by_client(self._client, request, url)
            template = self._template(self._client, request, url)
            answer = await self._transport.fetch(
                template,
                request.body,
                most=self._most_bytes,
                connect_timeout=self._connect_timeout,
            )
            return self._decompressed(answer)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise self._translated(error, url) from error

    def _template(self, client: httpx.AsyncClient, request: WireRequest[Any], url: str) -> Template:
        key = url, request.method
        if key not in self._templates:
            headers = {"accept-encoding": "gzip, deflate", **self._address.headers}
            built = client.build_request(request.method, url, headers=headers)
            built.headers.pop("content-length", None)
            self._templates[key] = Template(built)
        return self._templates[key]

    async def _by_client(
        self, client: httpx.AsyncClient, request: WireRequest[Any], url: str
    ) -> Answer:
        """The caller's own client does it, whatever it is made of."""
        built = client.build_request(
            request.method,
            url,
            content=request.body,
            headers=self._address.headers,
            timeout=httpx.Timeout(None, connect=self._connect_timeout),
        )
        response = await client.send(built, stream=True)
        parts: list[bytes] = []
        size = 0
        pieces = cast("AsyncGenerator[bytes]", response.aiter_bytes())
        async with aclosing(response), aclosing(pieces):
            async for part in pieces:
                parts.append(part)
                size += len(part)
                if size > self._most_bytes:
                    break
        content = b"".join(parts) if size <= self._most_bytes else None
        return Answer(response.status_code, response.headers.raw, content)

    def _decompressed(self, answer: Answer) -> Answer:
        """An answer whose body is as the server meant it; httpx knows the encodings."""
        if answer.content is None:
            return answer
        words = b",".join(v for name, v in answer.headers if name == b"content-encoding")
        codings = [word.strip().lower() for word in words.split(b",")]
        known = [word for word in codings if word in _CODINGS]
        if not known:  # a word that means nothing; the decoder will tell
            return answer
        if len(known) > 1:  # one in the other would grow a million times
            raise httpx.DecodingError(f"it is compressed {len(known)} times")
        headers = {b"content-encoding": known[0].removeprefix(b"x-")}
        response = httpx.Response(200, headers=headers, stream=_Slices(answer.content))
        parts: list[bytes] = []
        size = 0
        for part in response.iter_bytes():
            parts.append(part)
            size += len(part)
            if size > self._most_bytes:
                return answer._replace(content=None)
        return answer._replace(content=b"".join(parts))

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

    def _refusal(self, answer: Answer, url: str) -> EndpointError:
        headers, body = httpx.Headers(answer.headers), answer.content or b""
        error = error_of(answer.status, headers, body, url=url, now=time.time())
        # The words, not the body: JSON may spell a secret in more than one way.
        error.message = self._address.redact(error.message)
        error.args = (error.message,)
        return error

    def _decoded(self, request: WireRequest[T], answer: Answer, url: str) -> T:
        body = answer.content
        if not body:
            raise MalformedResponse("the answer is empty", url=url, transient=True)
        try:
            return request.decode(body)
        except EndpointError as error:  # in the middle of a stream, behind a 200
            error.url = url
            error.message = self._address.redact(error.message)
            error.args = (error.message,)
            raise
        except msgspec.ValidationError as error:
            shown = self._address.redact(describe(body))
            raise MalformedResponse(f"unexpected answer: {error}: {shown}", url=url) from None
        except msgspec.DecodeError as error:
            shown = self._address.redact(describe(body))
            # A page of HTML is a wrong address, not a broken body.
            transient = "html" not in httpx.Headers(answer.headers).get("content-type", "")
            raise MalformedResponse(
                f"the answer is not JSON: {shown} ({error})", url=url, transient=transient
            ) from None


class _Slices(httpx.SyncByteStream):
    """A body in pieces, so that what it decompresses to can be counted on the way."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self._content), _SLICE):
            yield self._content[start : start + _SLICE]
