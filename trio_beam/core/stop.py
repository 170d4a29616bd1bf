"""Apply stop strings on the client side.

They are never sent to the server: servers cut the text inside a token, drop that token's log-probability
or guess which tokens to drop. Here the text ends before the stop string, but the tokens up to and
including the one that completes it are kept and scored: the model did generate them, and a score without
them would favour truncated texts.
"""

from __future__ import annotations

from collections.abc import Sequence

from trio_beam.core.beam import Beam, decode_more
from trio_beam.core.block import STOP, Continuation
from trio_beam.core.reasoning import split


def extend(beam: Beam, continuation: Continuation, stop: Sequence[str]) -> Beam:
    """Extend a beam, ending it at the first completed stop string."""
    child = beam.extend(continuation)
    if not any(_may_end_in(child.fragment, word) for word in stop):
        return child  # nearly always: only the new text was looked at, however long the strings are
    before = beam.tail(max(map(len, stop)) - 1)
    found = _first(before + child.fragment, stop, 0)
    if found is not None and child.thinking != "off":
        found = _first(before + child.fragment, stop, _answer_start(child, len(before)))
    if found is None:
        return child
    start, end = found
    child = beam.extend(_cut(continuation, beam.pending, end - len(before)), finished=True)
    return child.replace(trim=len(before) + len(child.fragment) - start, pending=b"")


def _may_end_in(fragment: str, word: str) -> bool:
    """Return whether a stop string may end in a fragment that continues other text."""
    if word in fragment:
        return True
    end = fragment.find(word[-1])
    while end >= 0:
        if word.endswith(fragment[: end + 1]):
            return True
        end = fragment.find(word[-1], end + 1)
    return False


def _answer_start(child: Beam, before: int) -> int:
    """Return where the answer begins, counted from `before` characters in front of the last block."""
    text = "".join(beam.fragment for beam in child.lineage())
    return max(0, split(text, child.thinking).start - (len(text) - len(child.fragment) - before))


def _first(text: str, stop: Sequence[str], start: int) -> tuple[int, int] | None:
    """Return (start, end) of the stop string completed first, the longest if several are."""
    spans = [(at, at + len(word)) for word in stop if (at := text.find(word, start)) >= 0]
    return min(spans, key=lambda span: (span[1], span[0]), default=None)


def _cut(continuation: Continuation, pending: bytes, characters: int) -> Continuation:
    """Cut a block after the token that completes `characters` characters (following `pending`).

    Its data is kept complete: the text is cut by characters, not by tokens.
    """
    tokens = continuation.tokens
    # If the tokens do not spell the text, keep all of them: which one ends it is unknown.
    if b"".join([token.data for token in tokens]) != continuation.data:
        return continuation.cut(len(continuation), STOP)
    seen = count = 0
    while seen < characters:
        text, pending = decode_more(pending, tokens[count].data)
        seen += len(text)
        count += 1
    return continuation.cut(count, STOP)
