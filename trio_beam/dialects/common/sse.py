"""Parse server-sent events from a complete body. Pure.

Follows the WHATWG HTML standard (9.2.6) without the parts that these servers do not send (ids, names,
retry times). Existing parsers wrap an httpx response that is still arriving; a search has no use for
half a response, so streams are read to the end by the same code as other bodies.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec

from trio_beam.dialects.common.encoding import decoder_of
from trio_beam.dialects.common.error_responses import error_of
from trio_beam.errors import EndpointError, MalformedResponse

C = TypeVar("C")
T = TypeVar("T")
#: Data of the event that ends a stream.
DONE = b"[DONE]"
#: All comments up to the next other line, or such a line.
_LINE = re.compile(rb"(?::[^\r\n]*(?:\r\n|\r|\n))++|([^\r\n]*)(?:\r\n|\r|\n)")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_JSON = re.compile(rb"\s*[{[]")
_FIELD = re.compile(rb"^(data|event|id|retry|error)?:", re.MULTILINE)


class _MayFail(msgspec.Struct):
    error: Any = None


_look = decoder_of(_MayFail)


def read_events(body: bytes) -> Iterator[bytes]:
    """Yield the data of each complete event."""
    data: list[bytes] = []
    # One by one: a list of all lines would take twenty times the memory of a stream of short ones.
    for line in _LINE.finditer(body):
        text = line[1]
        if text is None:
            continue
        # A mark stands at the beginning, or where somebody has put streams together.
        name, _, value = text.removeprefix(_BYTE_ORDER_MARK).partition(b":")
        if not text:
            if any(data):
                yield b"\n".join(data)
            data = []
        elif name == b"data":
            data.append(value.removeprefix(b" "))
        elif name == b"error":  # not in the standard; llama.cpp sent it until September 2025
            value = value.removeprefix(b" ")
            data.append(value if b'"error"' in value else b'{"error":%s}' % value)


def decoder_of_stream(
    chunk: Callable[[bytes], C], join: Callable[[list[C], bool], T], plain: Callable[[bytes], T]
) -> Callable[[bytes], T]:
    """Return a decoder for a streamed body, or for plain JSON from a server that cannot stream.

    Args:
        chunk: decodes the data of one event.
        join: combines the events into a response, given whether ``[DONE]`` arrived.
        plain: decodes plain JSON.
    """

    def decode(body: bytes) -> T:
        if _JSON.match(body):
            return plain(body)
        chunks: list[C] = []
        done = False
        for data in read_events(body):
            if done := data == DONE:
                break
            if b'"error"' in data:
                _raise_error(data)
            chunks.append(chunk(data))
        if not chunks and not done and _FIELD.search(body) is None:
            return plain(body)  # which says what it is
        return join(chunks, done)

    return decode


def truncated_stream() -> MalformedResponse:
    """Return the error for a stream that ended early."""
    return MalformedResponse("the stream ended before the response did", transient=True)


def _raise_error(data: bytes) -> None:
    failure = _look(data).error
    if failure is not None:
        raise _error_in(failure, data)


def _error_in(failure: Any, data: bytes) -> EndpointError:
    code = failure.get("code") if isinstance(failure, dict) else None
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    return error_of(status, {}, data, url="", now=0.0)
