"""The body of a response, decompressed in bounded memory whatever came over the wire."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Iterable, Sequence

import httpx

#: What is asked for, by the names that servers give it.
_WINDOWS = {b"gzip": 31, b"x-gzip": 31, b"deflate": zlib.MAX_WBITS}
#: Most bytes that are decompressed in one go.
_PIECE = 64 * 1024


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
        self._begun = False

    def feed(self, data: bytes) -> bool:
        """Take the next piece as it came; whether the body is still within the limit.

        Raises:
            httpx.DecodingError: it is not what its header says.
        """
        if self._unpacker is None:
            self._content += data
        else:
            self._unpack(data)
        return len(self._content) <= self._limit

    def finish(self) -> bytes:
        """Return the whole of it.

        Raises:
            httpx.DecodingError: it ends in the middle.
        """
        if self._unpacker is not None and self._begun and not self._unpacker.eof:
            raise httpx.DecodingError("the compressed body is cut short")
        return bytes(self._content)

    def _unpack(self, data: bytes) -> None:
        assert self._unpacker is not None
        while data and not self._unpacker.eof and len(self._content) <= self._limit:
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
