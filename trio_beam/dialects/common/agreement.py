"""Whether tokens are those of a text, where they need not spell it byte by byte. Pure.

Servers without token ids or bytes show a token inside a character as "" or as U+FFFD, some show tokens as
their vocabulary has them ("Ġthe", "▁the"), and some strip the text. All that is allowed; tokens that say
something else are not those that were sampled, and their log-probabilities mean nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_BROKEN = "\ufffd"
#: How vocabularies spell white space (GPT-2's bytes, SentencePiece).
_MARKERS = str.maketrans({"Ġ": " ", "▁": " ", "Ċ": "\n", "ĉ": "\t"})
#: vLLM's tokens where it was told to show ids.
_ID = re.compile(r"token_id:\d+")
#: Most characters that one token may be a part of without showing any of them.
_HIDDEN = 2


def unmarked(piece: bytes) -> bytes:
    """Return a token's bytes with white space where its vocabulary has a mark."""
    try:
        return piece.decode().translate(_MARKERS).encode()
    except UnicodeDecodeError:  # a part of a character
        return piece


def agrees(tokens: Sequence[str], text: str) -> bool:
    """Whether a text may have been made of these tokens.

    Args:
        tokens: as the server shows them; those shown by their ids alone are believed.
        text: as the server shows it, perhaps stripped, perhaps without a character that was cut.
    """
    if tokens and all(map(_ID.fullmatch, tokens)):
        return True
    plain = [token.translate(_MARKERS) for token in tokens]
    return _matches(tokens, text) or _matches(plain, text)


def _matches(tokens: Sequence[str], text: str) -> bool:
    """Whether all that the tokens show is in the text, in order, and the text has little more."""
    whole = text.replace(_BROKEN, "").strip()
    visible = "".join(tokens).replace(_BROKEN, "").strip()
    # The last token may be an end of text that is no part of it, or be cut by a stop string.
    without = "".join(tokens[:-1]).replace(_BROKEN, "").strip()
    if visible.startswith(whole) and whole.startswith(without):
        return True
    hidden = sum(1 for token in tokens if not token or _BROKEN in token) * _HIDDEN
    return any(_is_spread(part, whole, hidden) for part in (visible, without))


def _is_spread(part: str, whole: str, more: int) -> bool:
    """Whether `whole` is `part` with at most so many characters put in between."""
    if not 0 <= len(whole) - len(part) <= more:
        return False
    rest = iter(whole)
    return all(character in rest for character in part)
