"""Redact secrets in foreign text, in every encoding in which a server can repeat one.

The text itself and all its decodings are searched, ignoring white space: escapes of URLs, JSON, HTML and
source code, base64 and hexadecimal digits at any offset, nested in each other. A decoding maps each of its
characters to a span of the text, so that a match can be replaced there. A match is any `PIECE` consecutive
characters of a secret, so that parts of a secret are redacted too.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable, Iterator
from html import unescape
from typing import NamedTuple, Self
from urllib.parse import quote_plus

#: Consecutive characters of a secret that are redacted; shorter secrets match as a whole.
PIECE = 8
#: A shorter text is not a secret: it would match parts of ordinary words.
_SHORTEST = 4
#: Maximum number of nested decodings.
_DEPTH = 5
_HIDDEN = "***"
_ESCAPE = re.compile(
    r"%u[0-9a-fA-F]{4}|%[0-9a-fA-F]{2}"
    r"|\\u[0-9a-fA-F]{4}|\\U[0-9a-fA-F]{8}|\\x[0-9a-fA-F]{2}|\\[ux]\{[0-9a-fA-F]{1,6}\}"
    r"|\\[0-7]{3}|\\[abfnrtv]|\\[^\w\s]"
    r"|&#[xX][0-9a-fA-F]{1,6};?|&#[0-9]{1,7};?|&[A-Za-z][A-Za-z0-9]{1,30};"
)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{11,}")
_HEXADECIMAL = re.compile(r"[0-9a-fA-F]{16,}")
#: Secrets are ASCII when sent; other bytes result from decoding at a wrong offset.
_READABLE = re.compile(rb"[\t\n\r -~]{4,}")
_LOWER = str.maketrans({chr(upper): chr(upper + 32) for upper in range(ord("A"), ord("Z") + 1)})
_URL_SAFE = str.maketrans("-_", "+/")


class _Reading(NamedTuple):
    """A text or a decoding of it; character i comes from ``starts[i]`` to ``ends[i]`` of the text."""

    text: str
    starts: list[int]
    ends: list[int]

    @classmethod
    def of(cls, text: str) -> Self:
        return cls(text, list(range(len(text))), list(range(1, len(text) + 1)))

    def compact(self) -> _Reading:
        """Return a copy without blanks and unprintable characters."""
        kept = [at for at, one in enumerate(self.text) if one.isprintable() and one != " "]
        if len(kept) == len(self.text):
            return self
        return _Reading(
            "".join([self.text[at] for at in kept]),
            [self.starts[at] for at in kept],
            [self.ends[at] for at in kept],
        )


class Secrets:
    """Texts that must never be shown.

    Args:
        secrets: as they are sent.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._pieces: dict[int, set[str]] = {}
        for secret in secrets:
            for spelt in {secret, secret.encode().decode("latin-1"), quote_plus(secret, safe="/=")}:
                plain = _Reading.of(spelt).compact().text.translate(_LOWER)
                if len(plain) >= _SHORTEST:
                    size = min(PIECE, len(plain))
                    pieces = self._pieces.setdefault(size, set())
                    pieces |= {plain[at : at + size] for at in range(len(plain) - size + 1)}

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def redact(self, text: str) -> str:
        """Replace every secret by three asterisks."""
        if not self._pieces:
            return text
        spans = sorted(set(self._found(_Reading.of(text), _DEPTH)))
        parts: list[str] = []
        done = 0
        for start, end in spans:
            if start > done or not done:
                parts += [text[done:start], _HIDDEN]
            done = max(done, end)
        return "".join([*parts, text[done:]])

    def _found(self, reading: _Reading, depth: int) -> Iterator[tuple[int, int]]:
        """Yield the spans of the text that hold a secret, in any encoding."""
        seen = reading.compact()
        plain = seen.text.translate(_LOWER)
        for size, pieces in self._pieces.items():
            for at in range(len(plain) - size + 1):
                if plain[at : at + size] in pieces:
                    yield seen.starts[at], seen.ends[at + size - 1]
        if depth:
            for decoded in _decodings(reading, seen):
                yield from self._found(decoded, depth - 1)


def _decodings(reading: _Reading, seen: _Reading) -> Iterator[_Reading]:
    unescaped = _unescaped(reading)
    if unescaped is not None:
        yield unescaped
    for run in _BASE64.finditer(seen.text):
        yield from _from_base64(seen, run.start(), run[0])
    for run in _HEXADECIMAL.finditer(seen.text):
        yield from _from_hexadecimal(seen, run.start(), run[0])


def _unescaped(reading: _Reading) -> _Reading | None:
    """Return a reading with escapes decoded; None if there are none."""
    done = 0
    starts: list[int] = []
    ends: list[int] = []
    parts: list[str] = []
    for found in _ESCAPE.finditer(reading.text):
        start, end = found.span()
        character = _meaning(found[0])
        parts += [reading.text[done:start], character]
        starts += reading.starts[done:start] + [reading.starts[start]] * len(character)
        ends += reading.ends[done:start] + [reading.ends[end - 1]] * len(character)
        done = end
    if not done:
        return None
    text = "".join([*parts, reading.text[done:]])
    return _Reading(text, starts + reading.starts[done:], ends + reading.ends[done:])


def _meaning(escape: str) -> str:
    if escape[0] == "&":
        return unescape(escape)
    digits = escape.lstrip("\\%uUx").strip("{}")
    if escape[0] == "\\" and escape[1] in "01234567":
        return chr(int(escape[1:], 8))
    if escape[0] == "\\" and escape[1] not in "uUx":
        return "" if escape[1].isalpha() else escape[1]  # an end of a line, or itself
    number = int(digits, 16)
    return chr(number) if number < 0x110000 else ""


def _from_base64(seen: _Reading, start: int, run: str) -> Iterator[_Reading]:
    """Decode a run of base64 characters from each of its four possible offsets."""
    run = run.translate(_URL_SAFE)
    for offset in range(4):
        whole = (len(run) - offset) // 4 * 4
        data = b64decode(run[offset:] + "A" * (-(len(run) - offset) % 4))[: whole // 4 * 3 + 2]
        for part in _READABLE.finditer(data):
            first = [start + offset + at * 4 // 3 for at in range(*part.span())]
            last = [start + offset + (at * 8 + 7) // 6 for at in range(*part.span())]
            yield _decoded(seen, part[0], first, last)


def _from_hexadecimal(seen: _Reading, start: int, run: str) -> Iterator[_Reading]:
    for offset in range(2):
        digits = run[offset : offset + (len(run) - offset) // 2 * 2]
        data = bytes.fromhex(digits)
        for part in _READABLE.finditer(data):
            first = [start + offset + at * 2 for at in range(*part.span())]
            yield _decoded(seen, part[0], first, [at + 1 for at in first])


def _decoded(seen: _Reading, data: bytes, first: list[int], last: list[int]) -> _Reading:
    end = len(seen.ends) - 1
    return _Reading(
        data.decode("ascii"),
        [seen.starts[min(at, end)] for at in first],
        [seen.ends[min(at, end)] for at in last],
    )
