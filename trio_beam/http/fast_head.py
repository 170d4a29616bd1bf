"""Parse the common, unambiguous HTTP response head without h11: a status and a ``Content-Length``.

Almost every response of a completion server has one, and h11 would cost three times the rest of the
exchange. For anything else (1xx, chunks, a body until the connection closes, folded or repeated fields,
a server that wants to close) `plain_head` returns None and h11 decides. A test checks that h11 agrees on
every head accepted here.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_VALUE = rb"[\t \x21-\x7e\x80-\xff]*"
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[\t ]*(" + _VALUE + rb")\r\n")
_HEAD = re.compile(
    rb"HTTP/1\.1 ([2-5]\d\d)(?: (" + _VALUE + rb"))?\r\n"
    rb"((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:" + _VALUE + rb"\r\n)+)\r\n"
)
_LENGTH = re.compile(rb"\d{1,15}")
#: Statuses without a body, whatever length the head states.
_WITHOUT_BODY = (204, 304)


class PlainHead(NamedTuple):
    """A head that needs no h11.

    Attributes:
        status: status code.
        reason: reason phrase; may be empty.
        headers: with lower-case names.
        length: size of the body in bytes.
        size: size of the head in bytes, including its empty line.
    """

    status: int
    reason: bytes
    headers: dict[bytes, bytes]
    length: int
    size: int


def plain_head(data: bytes) -> PlainHead | None:
    """Parse the head at the start of a response; return None if h11 must parse it."""
    found = _HEAD.match(data)
    if found is None:
        return None
    status = int(found[1])
    fields = _FIELD.findall(found[3])
    headers = {name.lower(): value.rstrip(b"\t ") for name, value in fields}
    length = headers.get(b"content-length", b"")
    plain = (
        status not in _WITHOUT_BODY
        and len(headers) == len(fields)
        and _LENGTH.fullmatch(length)
        and b"transfer-encoding" not in headers
        and headers.get(b"connection", b"keep-alive").lower() == b"keep-alive"
    )
    return PlainHead(status, found[2] or b"", headers, int(length), found.end()) if plain else None
