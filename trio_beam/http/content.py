"""Decompress response bodies in bounded memory, whatever the server sends.

A compressed body is bounded by the size its request justifies and by the bytes that came over the wire. A
few kilobytes can expand to a thousand times their size, and decode to objects thirty times as large again.
"""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Iterable, Sequence

import httpx

#: zlib window bits by the names of codings.
_WINDOWS = {b"gzip": 31, b"x-gzip": 31, b"deflate": zlib.MAX_WBITS}
#: Maximum number of bytes decompressed at a time.
_PIECE = 64 * 1024
#: Estimated memory in bytes: per byte of JSON (two copies and a string of wide characters), per array or
#: object, and per comma, for the value between two.
_BYTE, _CONTAINER, _COMMA = 6, 240, 64
#: Memory allowed for any compressed body, and for a longer one per received byte (real ones need a third).
_FREE, _EACH = 12 << 20, 384


def supported_codings(codings: str) -> str:
    """Return the codings of an ``Accept-Encoding`` that this module can decompress."""
    names = [name.strip() for name in codings.split(",")]
    known = [name for name in names if name.partition(";")[0].strip().encode() in _WINDOWS]
    return ", ".join(known) or "identity"


def coding_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """Return how a body is compressed, or None.

    Unknown codings count as none; decoding the body will then fail.

    Raises:
        httpx.DecodingError: codings are nested, which could inflate the body a million times.
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
    """Collects a body in parts and decompresses it.

    Args:
        coding: as returned by `coding_of`.
        limit: maximum decompressed size, in bytes.
    """

    def __init__(self, coding: bytes | None, limit: int) -> None:
        self._window = _WINDOWS[coding] if coding else None
        self._decompressor = zlib.decompressobj(self._window) if self._window else None
        self._limit = limit
        self._content = bytearray()
        self._received = 0
        self._begun = False

    def feed(self, data: bytes) -> bool:
        """Add the next received part; return whether the body is still within the limit.

        Raises:
            httpx.DecodingError: it is not compressed as its header says.
        """
        self._received += len(data)
        if self._decompressor is None:
            self._content += data
        else:
            self._decompress(data)
        return self._fits()

    @property
    def size(self) -> int:
        """Number of decompressed bytes so far."""
        return len(self._content)

    def since(self, size: int) -> bytes:
        """Return the decompressed bytes behind the first `size`."""
        return bytes(self._content[size:])

    def finish(self) -> bytes:
        """Return the complete body.

        Raises:
            httpx.DecodingError: the compressed data is truncated, or would need too much memory.
        """
        content = self._content
        if self._decompressor is not None and self._begun:
            if not self._decompressor.eof:
                raise httpx.DecodingError("the compressed body is truncated")
            containers = content.count(b"{") + content.count(b"[")
            if not self._is_justified(containers * _CONTAINER + content.count(b",") * _COMMA):
                raise httpx.DecodingError(f"{self._received} bytes expand to too much data")
        return bytes(content)

    def _fits(self) -> bool:
        return len(self._content) <= self._limit and (
            self._decompressor is None or self._is_justified()
        )

    def _is_justified(self, extra: int = 0) -> bool:
        """Return whether the received bytes justify the memory for the content, plus `extra` bytes."""
        return len(self._content) * _BYTE + extra <= max(_FREE, self._received * _EACH)

    def _decompress(self, data: bytes) -> None:
        assert self._decompressor is not None
        while data and not self._decompressor.eof and self._fits():
            self._content += self._next_piece(data)
            data = self._decompressor.unconsumed_tail

    def _next_piece(self, data: bytes) -> bytes:
        assert self._decompressor is not None
        try:
            piece = self._decompressor.decompress(data, _PIECE)
        except zlib.error as error:
            if self._begun or self._window != zlib.MAX_WBITS:
                raise httpx.DecodingError(str(error)) from error
            # "deflate" means the zlib format, but some servers send raw deflate data.
            self._window = -zlib.MAX_WBITS
            self._decompressor = zlib.decompressobj(self._window)
            return self._next_piece(data)
        self._begun = True
        return piece


_BOMS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16's, which it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def as_utf8(content: bytes, charset: str | None) -> bytes:
    """Return a text as UTF-8, without a byte order mark; as it is, if it is in no charset that is known.

    Args:
        content: JSON is UTF-8, but some servers send it otherwise, and say so or begin with a mark.
        charset: of the response's ``Content-Type``; None if it names none.
    """
    for mark, name in _BOMS.items():
        if content.startswith(mark):
            return _recoded(content, name).removeprefix(codecs.BOM_UTF8)
    if charset is None or charset.lower().replace("-", "") in ("utf8", "usascii"):
        return content
    try:
        content.decode()
    except UnicodeDecodeError:
        return _recoded(content, charset)
    return content  # whatever the header says


def _recoded(content: bytes, charset: str) -> bytes:
    try:
        return content.decode(charset).encode()
    except (LookupError, UnicodeError):
        return content


def decompress(content: bytes, headers: Sequence[tuple[bytes, bytes]], limit: int) -> bytes | None:
    """Decompress a complete body; return None if it exceeds `limit` bytes.

    Raises:
        httpx.DecodingError: it cannot be decompressed.
    """
    coding = coding_of(headers)
    if coding is None:
        return content
    body = BoundedBody(coding, limit)
    return body.finish() if body.feed(content) else None
