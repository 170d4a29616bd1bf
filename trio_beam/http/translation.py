"""Translate into our errors what httpx raises, and what a server reports in a response of success."""

from __future__ import annotations

import time
from typing import TypeVar

import httpx
import msgspec

from trio_beam.dialects.common.error_responses import describe, hidden_error
from trio_beam.dialects.common.exchange import WireRequest
from trio_beam.dialects.common.waits import asked_wait
from trio_beam.errors import (
    AttemptTimeout,
    ConfigError,
    ConnectionFailed,
    EndpointError,
    MalformedResponse,
    RateLimited,
    ServerError,
)
from trio_beam.http.connection import Unasked
from trio_beam.http.foreign_errors import is_lasting, reason_of

T = TypeVar("T")


def translated(error: Exception, url: str, connect_timeout: float | None) -> EndpointError:
    """Return our error for one of httpx's.

    Args:
        error: httpx's.
        url: of the request.
        connect_timeout: seconds of our own limit for connecting; None: the client is the caller's.

    Raises:
        ConfigError: HTTP does not allow the request.
    """
    words = str(error) or reason_of(error)  # httpcore's errors may have no words
    if isinstance(error, httpx.ConnectTimeout) and connect_timeout is not None:
        return AttemptTimeout(f"no connection within {connect_timeout:g} s", url=url)
    if isinstance(error, httpx.TimeoutException):
        kind = type(error).__name__
        return AttemptTimeout(f"{kind} of the http_client: {words}", url=url)
    if isinstance(error, httpx.DecodingError):
        message = f"the body cannot be decoded: {words}"
        return MalformedResponse(message, url=url, transient=True)
    if isinstance(error, Unasked):
        return MalformedResponse(f"the server cannot be trusted: {words}", url=url)
    if isinstance(error, httpx.LocalProtocolError):
        raise ConfigError("the request", f"one that HTTP allows ({words})", url)
    never_sent = isinstance(error, (httpx.ConnectError, httpx.ProxyError))
    kind = "cannot connect" if never_sent else "connection lost"
    return ConnectionFailed(
        f"{kind}: {words}", url=url, never_sent=never_sent, lasting=is_lasting(error)
    )


def decoded(request: WireRequest[T], head: httpx.Response, body: bytes, url: str) -> T:
    """Decode the body of a response of success.

    Raises:
        EndpointError: the server's, in place of a result.
        MalformedResponse: the body is not what the request asks for.
    """
    if not body:
        raise MalformedResponse("the response is empty", url=url, transient=True)
    try:
        return request.decode(body)
    except EndpointError as error:  # behind a 200
        raise _found_inside(error, head, url) from None
    except msgspec.ValidationError as error:
        failure = hidden_error(body)
        if failure is not None:
            raise _found_inside(failure, head, url) from None
        message = f"unexpected response: {error}: {describe(body)}"
        raise MalformedResponse(message, url=url) from None
    except msgspec.DecodeError as error:
        # An HTML page means a wrong base URL, not a broken body.
        transient = "html" not in head.headers.get("content-type", "")
        message = f"the response is not JSON: {describe(body)} ({error})"
        raise MalformedResponse(message, url=url, transient=transient) from None
    except RecursionError:
        raise MalformedResponse("the response is nested too deeply", url=url) from None


def _found_inside(error: EndpointError, head: httpx.Response, url: str) -> EndpointError:
    error.url = url
    if isinstance(error, (RateLimited, ServerError)) and error.retry_after is None:
        error.retry_after = asked_wait(head.headers, None, time.time())
    return error
