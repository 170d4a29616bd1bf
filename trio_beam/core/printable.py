"""Escape characters of foreign text that would move the cursor or begin another line. Pure."""

from __future__ import annotations

import re

#: Control characters (a terminal obeys them), line separators of all kinds (the next line could look like
#: one of ours), marks that change the direction of writing, and halves of characters.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str, keep: str = "") -> str:
    r"""Replace characters that would move the cursor or begin another line by backslash escapes.

    Args:
        text: of a server, a model, a file.
        keep: characters to leave as they are: ``"\n\t"`` for a text of several lines.
    """
    return _UNSAFE.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def counted(number: int, noun: str) -> str:
    """Return a number of things in words: "1 beam", "1,000 beams"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
