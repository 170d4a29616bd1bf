"""Escape characters of foreign text that would move the cursor or begin another line. Pure."""

from __future__ import annotations


def printable(text: str) -> str:
    """Replace unprintable characters by backslash escapes.

    These are control characters (a terminal obeys them), line separators of all kinds (the next line could
    look like one of ours) and marks that change the direction of writing.
    """
    if text.isprintable():
        return text
    return "".join([one if one.isprintable() else _escaped(one) for one in text])


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
