"""Ways in which a server may give a key back, drawn at random, and what must not be left of one."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from urllib.parse import quote

from hypothesis import strategies as st

#: Has all that an escape may change.
KEY = "sk-Ab/c+d=9f8e7d6c5b4a3f2e1d0cQQ"
#: Characters of a key that may be shown together.
FEW = 7
#: Shortest piece: what stands before it may make an escape of its first characters ("%" of "2e").
LEAST = FEW + 4

_CHARACTER: tuple[Callable[[str], str], ...] = (
    lambda one: one,
    lambda one: f"%{ord(one):02X}",
    lambda one: f"%25{ord(one):02x}",
    lambda one: f"\\u{ord(one):04x}",
    lambda one: f"\\\\u{ord(one):04X}",
    lambda one: f"\\x{ord(one):02x}",
    lambda one: f"\\{ord(one):03o}",
    lambda one: f"&#{ord(one)};",
    lambda one: f"&#x{ord(one):x};",
    lambda one: f"&amp;#{ord(one)};",
    lambda one: one if one.isalnum() else f"\\{one}",
    lambda one: one + "\n ",
    lambda one: one.upper(),
    lambda one: one + "\u200b",
)
_WHOLE: tuple[Callable[[str], str], ...] = (
    lambda key: key,
    json.dumps,
    lambda key: json.dumps(json.dumps(key)),
    lambda key: quote(quote(key, safe=""), safe=""),
    lambda key: b64encode(key.encode()).decode(),
    lambda key: b64encode(b"a" + key.encode()).decode().rstrip("="),
    lambda key: urlsafe_b64encode(b"Bearer " + key.encode() + b"??>").decode(),
    lambda key: b64encode(b64encode(key.encode())).decode(),
    lambda key: quote(b64encode(key.encode() + b"\xff\xff").decode(), safe=""),
    lambda key: key.encode().hex(),
    lambda key: key.encode().hex(" ").upper(),
)


@st.composite
def spelt(draw: st.DrawFn, key: str = KEY) -> list[str]:
    """A key, or a piece of it, as parts of which not so many must be shown together."""
    start = draw(st.integers(0, len(key) - LEAST))
    piece = key[start : draw(st.integers(start + LEAST, len(key)))]
    if draw(st.booleans()):
        ways = draw(st.lists(st.sampled_from(_CHARACTER), min_size=1, max_size=3))
        return [draw(st.sampled_from(ways))(one) for one in piece]
    way = draw(st.sampled_from(_WHOLE))
    whole = way(piece)
    return list(whole)


def shown(parts: Sequence[str], text: str) -> int:
    """How many parts stand together in a text, at most."""
    return max(
        size
        for size in range(len(parts) + 1)
        if any("".join(parts[at : at + size]) in text for at in range(len(parts) - size + 1))
    )


def is_kept(parts: Sequence[str], text: str) -> bool:
    """Whether a text shows too little of a spelt key to be of use.

    Of base64 and of digits a few more characters may be seen: they stand for less.
    """
    return shown(parts, text) <= (FEW if all(len(one) > 1 for one in parts) else 2 * FEW)


around = st.text(st.sampled_from("abcXYZ019 .,:;\"'{}[]<>/+-_=%&\\\n\x1b\u202eé"), max_size=40)
