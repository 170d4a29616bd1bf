"""JSON in and out: typed decoders, and requests of which most was encoded before."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeAlias
from weakref import WeakKeyDictionary

import msgspec

from trio_beam.core.beam import Beam


class PrefixEncoder:
    """The bytes in which a beam stands in a request, each block encoded once.

    A beam's bytes are its parent's with its own block's behind them, so a round costs an encoding of
    the new tokens and a copy. Only the last two generations are kept.
    """

    def __init__(self, encode: Callable[[Beam], bytes]) -> None:
        self._encode = encode
        self._known: WeakKeyDictionary[Beam, bytes] = WeakKeyDictionary()

    def __call__(self, beam: Beam) -> bytes:
        """All blocks of the beam, encoded and joined."""
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
#: Tokens that a server may put around a prompt: the beginning of a text, a turn.
_AROUND = 16


def max_tokens_of(json: bytes) -> int:
    """An upper bound of the tokens of a text, or of messages, in JSON: a token has at least a byte."""
    return len(json) + _AROUND


#: A byte in a JSON list of bytes.
Byte: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=255)]


def decoder_of(shape: Any) -> Callable[[bytes], Any]:
    """Make a decoder of JSON of a certain shape, whose only error is `msgspec.DecodeError`.

    NaN and Infinity, which Python's own `json` writes, are read where a number is expected.
    """
    decode = msgspec.json.Decoder(shape).decode

    def guarded(body: bytes) -> Any:
        try:
            return decode(body)
        except RecursionError:
            raise msgspec.ValidationError("it is nested too deeply") from None
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
    found = usage.get(name) if isinstance(usage, dict) else None
    try:
        number = float(found)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(number) if 0 <= number < _MAX_COUNT else 0


def encode_string(text: str) -> bytes:
    """The inside of a JSON string, without its quotes. Pieces can be joined."""
    return msgspec.json.encode(text)[1:-1]


def splice(name: str, value: bytes, fields: Mapping[str, Any]) -> bytes:
    """A JSON object of one member that is encoded already, and others that are not."""
    rest = msgspec.json.encode(fields)
    return b'{"%s":%s%s%s' % (name.encode(), value, b"," if fields else b"", rest[1:])
