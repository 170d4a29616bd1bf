"""Read a request's body, within its limits."""

from __future__ import annotations

import trio
from starlette.requests import Request

from trio_beam.gateway.api_error import ApiError
from trio_beam.gateway.limits import Limits


async def read_body(request: Request, limits: Limits) -> bytes:
    """Return the body.

    Raises:
        ApiError: it is too large, or did not come in time.
        ClientDisconnect: the client has gone.
    """
    named = request.headers.get("content-length", "0")
    if not named.isascii() or not named.isdecimal() or int(named[:20]) > limits.max_body:
        raise _too_large(limits)
    if request.headers.get("content-encoding", "identity") != "identity":
        raise ApiError(status=415, message="the body must be sent without a content-encoding")
    parts: list[bytes] = []
    size = 0
    with trio.move_on_after(limits.max_send_time) as reading:
        async for part in request.stream():
            parts.append(part)
            size += len(part)
            if size > limits.max_body:
                raise _too_large(limits)
    if reading.cancelled_caught:
        words = f"the body did not come within {limits.max_send_time:g} s"
        raise ApiError(status=408, message=words)
    return b"".join(parts)


def _too_large(limits: Limits) -> ApiError:
    return ApiError(status=413, message=f"the body must have at most {limits.max_body} bytes")


