"""Read a request's body, within its limits."""

from __future__ import annotations

import trio
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from trio_beam.gateway.api_error import ApiError
from trio_beam.gateway.limits import Limits


async def read_body(headers: Headers, receive: Receive, limits: Limits) -> bytes:
    """Return the body.

    Raises:
        ApiError: it is too large, framed in two ways, or did not come in time.
        ClientDisconnect: the client has gone.
    """
    length = headers.get("content-length", "0")
    if "transfer-encoding" in headers and "content-length" in headers:
        words = "the body has a content-length and a transfer-encoding: which?"
        raise ApiError(status=400, message=words)
    if not length.isascii() or not length.isdecimal() or len(length) > 20:
        raise _too_large(limits)
    if int(length) > limits.max_body:
        raise _too_large(limits)
    if headers.get("content-encoding", "identity") != "identity":
        raise ApiError(status=415, message="the body must be sent without a content-encoding")
    with trio.move_on_after(limits.max_send_time):
        return await _all_of(receive, limits)
    words = f"the body did not come within {limits.max_send_time:g} s"
    raise ApiError(status=408, message=words)


async def _all_of(receive: Receive, limits: Limits) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > limits.max_body:
            raise _too_large(limits)
        if not message.get("more_body", False):
            return bytes(body)


def _too_large(limits: Limits) -> ApiError:
    return ApiError(status=413, message=f"the body must have at most {limits.max_body} bytes")
