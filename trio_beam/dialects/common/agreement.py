"""Check tokens against their text when they need not match byte for byte. Pure.

Servers without token ids or bytes show a token inside a character as "" or U+FFFD, some show tokens in
their vocabulary's spelling ("Ġthe", "▁the"), and some strip the text. All of that is accepted. Tokens
that spell something else were not the sampled ones, so their log-probabilities are meaningless.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_BROKEN = "\ufffd"
#: How vocabularies spell white space (GPT-2's bytes, SentencePiece).
_MARKERS = str.maketrans({"Ġ": " ", "▁": " ", "Ċ": "\n", "ĉ": "\t"})
#: How vLLM shows tokens when asked for ids.
_ID = re.compile(r"token_id:\d+")
#: Maximum number of characters that one invisible token may contribute to.
_HIDDEN = 2


def unmarked(piece: bytes) -> bytes:
    """Return a token's bytes with white space where its vocabulary has a mark."""
    try:
        return piece.decode().translate(_MARKERS).encode()
    except UnicodeDecodeError:  # a part of a character
        return piece


def agrees(tokens: Sequence[str], text: str) -> bool:
    """Return whether these tokens can have produced `text`.

    Args:
        tokens: as the server shows them; tokens shown only as ids are trusted.
        text: as the server shows it, possibly stripped or missing a truncated character.
    """
    if tokens and all(map(_ID.fullmatch, tokens)):
        return True
    plain = [token.translate(_MARKERS) for token in tokens]
    return _matches(tokens, text) or _matches(plain, text)


def _matches(tokens: Sequence[str], text: str) -> bool:
    """Return whether the text contains the visible tokens in order and little else."""
    whole = text.replace(_BROKEN, "").strip()
    visible = "".join(tokens).replace(_BROKEN, "").strip()
    # The last token may be an end-of-text token, or be cut off by a stop string.
    without = "".join(tokens[:-1]).replace(_BROKEN, "").strip()
    if visible.startswith(whole) and whole.startswith(without):
        return True
    hidden = sum(1 for token in tokens if not token or _BROKEN in token) * _HIDDEN
    return any(_is_subsequence(part, whole, hidden) for part in (visible, without))


def _is_subsequence(part: str, whole: str, max_extra: int) -> bool:
    """Return whether `whole` is `part` with at most `max_extra` characters inserted."""
    if not 0 <= len(whole) - len(part) <= max_extra:
        return False
    rest = iter(whole)
    return all(character in rest for character in part)
