"""Typed JSON decoders, and request bodies assembled from already encoded parts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeAlias
from weakref import WeakKeyDictionary

import msgspec

from trio_beam.core.beam import Beam


class PrefixEncoder:
    """Encodes beams for requests, each block once.

    A beam's bytes are its parent's plus those of its own block, so a round encodes only the new tokens
    and copies the rest. Only the last two generations are cached.
    """

    def __init__(self, encode: Callable[[Beam], bytes]) -> None:
        self._encode = encode
        self._known: WeakKeyDictionary[Beam, bytes] = WeakKeyDictionary()

    def __call__(self, beam: Beam) -> bytes:
        """Return all blocks of the beam, encoded and joined."""
        parts: list[bytes] = []
        node: Beam | None = beam
        while node is not None and node.continuation is not None:
            known = self._known.get(node)
            if known is not None:
                parts.append(known)
                break
            parts.append(self._encode(node))
            node = node.parent
        joined = b"".join(reversed(parts))
        if beam.continuation is not None:
            self._known[beam] = joined
            if beam.parent is not None and beam.parent.parent is not None:
                self._known.pop(beam.parent.parent, None)
        return joined


_NOT_FINITE = re.compile(rb"\bNaN\b|\bInfinity\b")
#: More tokens than any request has.
_MAX_COUNT = 2**53
#: Tokens that a server may add around a prompt, such as begin-of-text or a turn.
_SPECIAL_TOKENS = 16


def max_tokens_of(json: bytes) -> int:
    """Return an upper bound on the tokens of JSON text or messages: a token has at least one byte."""
    return len(json) + _SPECIAL_TOKENS


#: A byte in a JSON list of bytes.
Byte: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=255)]


def decoder_of(shape: Any) -> Callable[[bytes], Any]:
    """Return a decoder of typed JSON that raises only `msgspec.DecodeError`.

    NaN and Infinity, which Python's `json` emits, are accepted where a number is expected.
    """
    decode = msgspec.json.Decoder(shape).decode

    def guarded(body: bytes) -> Any:
        try:
            return decode(body)
        except RecursionError:
            raise msgspec.ValidationError("nested too deeply") from None
        except UnicodeDecodeError as error:
            raise msgspec.DecodeError(str(error)) from None
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            if not _NOT_FINITE.search(body):
                raise
            return _decode_leniently(body, shape)

    return guarded


def _decode_leniently(body: bytes, shape: Any) -> Any:
    try:
        return msgspec.convert(json.loads(body), shape, strict=False)
    except (ValueError, RecursionError) as error:
        if isinstance(error, msgspec.ValidationError):
            raise
        raise msgspec.DecodeError(str(error)) from None


def count_in(usage: Any, name: str) -> int | None:
    """A server's own count, which some have as a float or as text; None where it has none."""
    found: Any = usage.get(name) if isinstance(usage, dict) else None
    try:
        number = float(found)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(number) if 0 <= number < _MAX_COUNT else 0


def encode_string(text: str) -> bytes:
    """Encode text as the inside of a JSON string, without quotes; results can be concatenated."""
    return msgspec.json.encode(text)[1:-1]


def splice(name: str, value: bytes, fields: Mapping[str, Any]) -> bytes:
    """Build a JSON object from one encoded member and further plain fields."""
    rest = msgspec.json.encode(fields)
    return b'{"%s":%s%s%s' % (name.encode(), value, b"," if fields else b"", rest[1:])
