"""Decode text files of unknown encoding."""

from __future__ import annotations

import codecs

#: Longest marks first: that of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def encoding_of(data: bytes) -> str:
    """Return the name of a text's encoding.

    A byte order mark decides. Without one, zero bytes mean UTF-16, and their positions its byte order.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name
    head = data[:256]
    if 0 not in head:
        return "utf-8"
    return "utf-16-le" if head[1::2].count(0) > head[0::2].count(0) else "utf-16-be"


def decode(data: bytes, errors: str = "strict") -> str:
    """Decode a text in UTF-8, UTF-16 or UTF-32, with or without a byte order mark.

    Args:
        data: the complete text.
        errors: as for `bytes.decode`.

    Raises:
        UnicodeDecodeError: it is none of them.
    """
    return data.decode(encoding_of(data), errors)
