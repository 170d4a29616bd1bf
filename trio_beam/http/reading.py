"""Read the body of a response: to its end, until the rest is not wanted, or piece by piece for another."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import NamedTuple, cast

import httpx

from trio_beam.dialects.common.watch import Watch
from trio_beam.http.content import BoundedBody, coding_of, decompress
from trio_beam.http.transport import BODY, Body

#: What remains of a body that was handed on.
_POURED = b"null"


class Response(NamedTuple):
    """A response read to its end.

    Attributes:
        head: the response with its status and headers.
        content: the decompressed body; None if too long.
        abandoned: whether it was given up before its end.
    """

    head: httpx.Response
    content: bytes | None
    abandoned: bool = False


async def read(response: httpx.Response, limit: int) -> Response:
    """Read the body; if it is longer than `limit` bytes, close the connection."""
    return Response(response, await _content(response, limit))


async def _content(response: httpx.Response, limit: int) -> bytes | None:
    if response.is_stream_consumed:  # by a hook
        return response.content if len(response.content) <= limit else None
    body = response.extensions.get(BODY)
    if isinstance(body, Body):
        packed = await body.read_all(limit)
        # httpx's wrapper refers to the response: drop it to avoid a reference cycle.
        response.stream = body
        return None if packed is None else decompress(packed, response.headers.raw, limit)
    content = BoundedBody(coding_of(response.headers.raw), limit)
    async with aclosing(response), aclosing(_pieces_of(response)) as pieces:
        async for piece in pieces:
            if not content.feed(piece):
                return None
    return content.finish()


async def read_watched(response: httpx.Response, limit: int, watch: Watch) -> Response:
    """Read the body until its end, or until the rest is not wanted; then close the connection."""
    content = BoundedBody(coding_of(response.headers.raw), limit)
    async with aclosing(response), aclosing(_pieces_of(response)) as pieces:
        async for piece in pieces:
            before = content.size
            if not content.feed(piece):
                return Response(response, None)
            if response.is_success and watch.feed(content.since(before)):
                await _abandon(response, pieces)
                return Response(response, watch.body(), abandoned=True)
    return Response(response, content.finish())


async def pour(response: httpx.Response, take: Callable[[bytes], object]) -> Response:
    """Hand the body on piece by piece, as it is sent."""
    if coding_of(response.headers.raw) is not None:
        raise httpx.DecodingError("it is compressed, which was not asked for")
    async with aclosing(response), aclosing(_pieces_of(response)) as pieces:
        async for piece in pieces:
            take(piece)
    return Response(response, _POURED)


def _pieces_of(response: httpx.Response) -> AsyncGenerator[bytes]:
    """Return httpx's innermost generator: `aiter_raw` wraps it in others and leaves one unfinished."""
    body = response.extensions.get(BODY)
    if isinstance(body, Body):
        # httpx's wrapper refers to the response: drop it to avoid a reference cycle.
        response.stream = body
    stream = cast("httpx.AsyncByteStream", response.stream)
    return cast("AsyncGenerator[bytes]", aiter(stream))


async def _abandon(response: httpx.Response, pieces: AsyncGenerator[bytes]) -> None:
    """Close the connection of a response that is not wanted any more.

    httpx's generators are nested, and closing one leaves those inside unfinished: the error that a closed
    connection raises ends them all.
    """
    await response.aclose()
    with suppress(httpx.HTTPError, httpx.StreamError):
        async for _ in pieces:
            pass


def read_already(response: httpx.Response) -> Response:
    """Return a response with what a hook has read of it."""
    try:
        return Response(response, response.content)
    except httpx.ResponseNotRead:
        return Response(response, b"")
