"""The one shape of an HTTP head that is read without h11: a status and a body of stated length.

Almost every response of a completion server has it, and h11 would cost three times the rest of the
exchange. Only heads that cannot be read in two ways are taken; for anything else (1xx, chunks, a body
up to the end of the connection, folded or doubled fields, a server that wants to close) `plain_head`
returns None, and h11 decides. A test holds that h11 reads the same in every head that is taken.
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
#: Statuses without a body, whatever the head says of its length.
_WITHOUT_BODY = (204, 304)


class PlainHead(NamedTuple):
    """A head that needs no h11.

    Attributes:
        status: three digits.
        reason: the words behind the status; may be empty.
        headers: names in lower case.
        length: bytes of the body.
        size: bytes of the head, its empty line included.
    """

    status: int
    reason: bytes
    headers: dict[bytes, bytes]
    length: int
    size: int


def plain_head(data: bytes) -> PlainHead | None:
    """Return the head at the beginning of a response; None if h11 has to read it."""
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
