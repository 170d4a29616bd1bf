"""A record as a line: a JSON object whose last member, ``crc``, is a CRC-32 of all before it.

The members are sorted and nothing stands between them, so that there is one spelling of a record, and its
checksum is one of its content too. A line that another program has written anew, with its members in another
order or with spaces between them, is still told from a damaged one.
"""

from __future__ import annotations

import zlib
from typing import Any, TypeVar

import msgspec

_R = TypeVar("_R", bound=msgspec.Struct)
_SEAL = b',"crc":"%08x"}'
_SEAL_LENGTH = len(_SEAL % 0)
#: What an editor puts before the first line, and programs of Windows behind each one.
_AROUND = b"\xef\xbb\xbf \t\r\n"


def to_line(record: msgspec.Struct) -> bytes:
    """Write a record as a line, with its end. Any text and any value has a form."""
    try:
        body = _encode(record)
    except (UnicodeEncodeError, OverflowError, TypeError):
        body = _encode(_encodable(msgspec.to_builtins(record, enc_hook=str)))
    return body[:-1] + _SEAL % zlib.crc32(body) + b"\n"


def from_line(line: bytes, kind: type[_R]) -> _R | None:
    """Read the record of a type in a line; None if the line is torn, or not as it was written.

    Members that the type does not know are left out, and those that are missing have their defaults: a
    record may be of another version.
    """
    line = line.strip(_AROUND)
    body = line[:-_SEAL_LENGTH] + b"}"
    if line[-_SEAL_LENGTH:] != _SEAL % zlib.crc32(body):
        body = _content(line)
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError):
        return None


def is_json(line: bytes) -> bool:
    """Whether a line is JSON, and so was not torn while it was written."""
    try:
        msgspec.json.decode(line.strip(_AROUND))
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _content(line: bytes) -> bytes:
    """Return a line's content in our spelling if its checksum is of that; else nothing."""
    try:
        members = msgspec.json.decode(line)
        seal = members.pop("crc")
        body = _encode(members)
    except (msgspec.DecodeError, RecursionError, AttributeError, KeyError, TypeError, ValueError):
        return b""
    return body if seal == f"{zlib.crc32(body):08x}" else b""


def _encode(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")


def _encodable(value: Any) -> Any:
    """Make a value encodable: a lone surrogate becomes its number, an unknown object a text."""
    match value:
        case None | bool() | float():
            return value
        case int() if -(2**63) <= value < 2**63:
            return value
        case list() | tuple():
            return [_encodable(one) for one in value]
        case dict():
            return {_encodable(str(key)): _encodable(one) for key, one in value.items()}
        case _:
            return str(value).encode("utf-8", "backslashreplace").decode()
