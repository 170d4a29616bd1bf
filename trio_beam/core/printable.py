"""Text of others on one line of ours: what would move the cursor, or begin another line, is escaped. Pure."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return a text with everything that is not printable as a backslash escape.

    Those are control characters (a terminal obeys them), ends of lines in all their forms (the next line
    could look like one of ours) and marks that turn the direction of writing.
    """
    if text.isprintable():
        return text
    return "".join([one if one.isprintable() else _escaped(one) for one in text])


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
