"""Text of others on a line or a terminal of ours. Pure."""

from __future__ import annotations

import re

#: Control characters (a terminal obeys them), ends of lines in all their forms (the next line could look
#: like one of ours), marks that turn the direction of writing, and halves of characters.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str, keep: str = "") -> str:
    r"""Return a text with what would move the cursor or begin another line as backslash escapes.

    Args:
        text: of a server, a model, a file.
        keep: characters that stay as they are: ``"\n\t"`` for a text of several lines.
    """
    return _UNSAFE.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
