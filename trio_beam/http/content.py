"""The body of a response, decompressed in bounded memory whatever came over the wire.

A body is bounded twice: by the bytes that its request can justify, and, where it is compressed, by what came
over the wire. Some kilobytes may unpack to a thousand times as many bytes, and these be decoded to objects that
take thirty times as much; so its weight is an estimate of the memory that decoding it takes at the most.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

import httpx

#: What is asked for, by the names that servers give it.
_WINDOWS = {b"gzip": 31, b"x-gzip": 31, b"deflate": zlib.MAX_WBITS}
#: Most bytes that are decompressed in one go.
_PIECE = 64 * 1024
#: Bytes of memory for each byte of JSON (two copies, and a string of wide characters), for each array and
#: object, and for each comma: for what stands between two.
_BYTE, _CONTAINER, _COMMA = 6, 240, 64
#: Bytes of memory that any compressed body may take, and a longer one for each byte that came. Log-probabilities
#: reach a third of that.
_FREE, _EACH = 12 << 20, 384


def accepted(codings: str) -> str:
    """Return those of the codings in an ``Accept-Encoding`` that can be read here."""
    names = [name.strip() for name in codings.split(",")]
    known = [name for name in names if name.partition(";")[0].strip().encode() in _WINDOWS]
    return ", ".join(known) or "identity"


def coding_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """Return how a body is compressed, None if it is not.

    A word that means nothing here counts as none: the decoder of the body will tell.

    Raises:
        httpx.DecodingError: one coding in another, so that it could grow a million times.
    """
    values = [value for name, value in headers if name.lower() == b"content-encoding"]
    if not values:
        return None
    words = [word.strip().lower() for value in values for word in value.split(b",")]
    known = [word for word in words if word in _WINDOWS]
    if len(known) > 1:
        raise httpx.DecodingError(f"it is compressed {len(known)} times")
    return known[0] if known else None


class BoundedBody:
    """Collects a body piece by piece, and decompresses it on the way.

    Args:
        coding: as `coding_of` returns it.
        limit: longest body, in bytes, decompressed.
    """

    def __init__(self, coding: bytes | None, limit: int) -> None:
        self._window = _WINDOWS[coding] if coding else None
        self._unpacker = zlib.decompressobj(self._window) if self._window else None
        self._limit = limit
        self._content = bytearray()
        self._came = 0
        self._begun = False

    def feed(self, data: bytes) -> bool:
        """Take the next piece as it came; whether the body is still within the limit.

        Raises:
            httpx.DecodingError: it is not what its header says.
        """
        self._came += len(data)
        if self._unpacker is None:
            self._content += data
        else:
            self._unpack(data)
        return self._fits()

    def finish(self) -> bytes:
        """Return the whole of it.

        Raises:
            httpx.DecodingError: it ends in the middle, or would take too much memory.
        """
        content = self._content
        if self._unpacker is not None and self._begun:
            if not self._unpacker.eof:
                raise httpx.DecodingError("the compressed body is cut short")
            containers = content.count(b"{") + content.count(b"[")
            if not self._bears(containers * _CONTAINER + content.count(b",") * _COMMA):
                raise httpx.DecodingError(f"{self._came} bytes do not justify what it unpacks to")
        return bytes(content)

    def _fits(self) -> bool:
        return len(self._content) <= self._limit and (self._unpacker is None or self._bears())

    def _bears(self, more: int = 0) -> bool:
        """Whether what came justifies the memory for the content so far, and for so many bytes more."""
        return len(self._content) * _BYTE + more <= max(_FREE, self._came * _EACH)

    def _unpack(self, data: bytes) -> None:
        assert self._unpacker is not None
        while data and not self._unpacker.eof and self._fits():
            self._content += self._next_piece(data)
            data = self._unpacker.unconsumed_tail

    def _next_piece(self, data: bytes) -> bytes:
        assert self._unpacker is not None
        try:
            piece = self._unpacker.decompress(data, _PIECE)
        except zlib.error as error:
            if self._begun or self._window != zlib.MAX_WBITS:
                raise httpx.DecodingError(str(error)) from error
            # "deflate" is zlib's format, but some servers send it without its frame.
            self._window = -zlib.MAX_WBITS
            self._unpacker = zlib.decompressobj(self._window)
            return self._next_piece(data)
        self._begun = True
        return piece


def unpack(content: bytes, headers: Sequence[tuple[bytes, bytes]], limit: int) -> bytes | None:
    """Return a whole body decompressed; None if it is longer than `limit` bytes.

    Raises:
        httpx.DecodingError: it cannot be.
    """
    coding = coding_of(headers)
    if coding is None:
        return content
    body = BoundedBody(coding, limit)
    return body.finish() if body.feed(content) else None
