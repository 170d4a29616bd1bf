"""Server-sent events, read from a body that has come as a whole. Pure.

As the WHATWG HTML standard has them (9.2.6), less what nobody sends here (ids, names, retry times).
The well-kept parsers are made to sit on an httpx response that is still coming; a search has no use
for half an answer, so its streams are read to the end first, by the same code as other bodies.
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
_DONE = b"[DONE]"
_LINE = re.compile(rb"([^\r\n]*)(?:\r\n|\r|\n)")
_JSON = re.compile(rb"\s*[{[]")


class _MayFail(msgspec.Struct):
    error: Any = None


_look = decoder_of(_MayFail)


def read_events(body: bytes) -> Iterator[bytes]:
    """The data of each event; one that is cut off at the end is none."""
    data: list[bytes] = []
    # One by one: a list of all lines would take twenty times the memory of a stream of short ones.
    for line in _LINE.finditer(body, 3 if body.startswith(b"\xef\xbb\xbf") else 0):
        text = line[1]
        name, _, value = text.partition(b":")
        if not text:
            if any(data):
                yield b"\n".join(data)
            data = []
        elif name == b"data":
            data.append(value.removeprefix(b" "))
        elif name == b"error":  # no field of the standard, but of llama.cpp until September 2025
            value = value.removeprefix(b" ")
            data.append(value if b'"error"' in value else b'{"error":%s}' % value)


def decoder_of_stream(
    chunk: Callable[[bytes], C], join: Callable[[list[C], bool], T], plain: Callable[[bytes], T]
) -> Callable[[bytes], T]:
    """A decoder for a body that is a stream, or, from a server that knows none, plain JSON.

    Args:
        chunk: decodes the data of one event.
        join: makes an answer of all of them; told whether ``[DONE]`` came.
        plain: decodes plain JSON.
    """

    def decode(body: bytes) -> T:
        if _JSON.match(body):
            return plain(body)
        chunks: list[C] = []
        for data in read_events(body):
            if data == _DONE:
                return join(chunks, True)
            if b'"error"' in data:
                _raise_error(data)
            chunks.append(chunk(data))
        return join(chunks, False)

    return decode


def cut_short() -> MalformedResponse:
    """What a stream without its end is."""
    return MalformedResponse("the stream ended before the answer did", transient=True)


def _raise_error(data: bytes) -> None:
    failure = _look(data).error
    if failure is not None:
        raise _error_in(failure, data)


def _error_in(failure: Any, data: bytes) -> EndpointError:
    code = failure.get("code") if isinstance(failure, dict) else None
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    return error_of(status, {}, data, url="", now=0.0)
