"""Stop strings, cut on our side.

The server is never told of them: servers cut the text inside a token, drop that token's
log-probability or guess which tokens to drop. Here the text ends before the stop string, while the
tokens up to and including the one that completes it stay and count in the score: the model did
generate them, and a score without them would favour texts that were cut.
"""

from __future__ import annotations

from collections.abc import Sequence

from trio_beam.core.beam import Beam, decode_more
from trio_beam.core.block import STOP, Continuation


def extend(beam: Beam, continuation: Continuation, stop: Sequence[str]) -> Beam:
    """Extend a beam, and end it where the first of the stop strings is complete."""
    child = beam.extend(continuation)
    if not any(_may_end_in(child.fragment, word) for word in stop):
        return child  # nearly always: only the new text was looked at, however long the strings are
    before = beam.tail(max(map(len, stop)) - 1)
    found = _first(before + child.fragment, stop)
    if found is None:
        return child
    start, end = found
    child = beam.extend(_cut(continuation, beam.pending, end - len(before)), finished=True)
    return child.replace(trim=len(before) + len(child.fragment) - start, pending=b"")


def _may_end_in(fragment: str, word: str) -> bool:
    """Whether a stop string may be complete in a text that goes on from another."""
    if word in fragment:
        return True
    end = fragment.find(word[-1])
    while end >= 0:
        if word.endswith(fragment[: end + 1]):
            return True
        end = fragment.find(word[-1], end + 1)
    return False


def _first(text: str, stop: Sequence[str]) -> tuple[int, int] | None:
    """Find the stop string that is complete first, the longest of those: (start, end)."""
    spans = [(at, at + len(word)) for word in stop if (at := text.find(word)) >= 0]
    return min(spans, key=lambda span: (span[1], span[0]), default=None)


def _cut(continuation: Continuation, pending: bytes, characters: int) -> Continuation:
    """Cut a block behind the token that completes so many characters (after the pending bytes).

    Its data stays whole: the text is cut by characters, not by tokens.
    """
    tokens = continuation.tokens
    # Tokens that do not spell the text are all kept: which of them ends it cannot be known.
    if b"".join([token.data for token in tokens]) == continuation.data:
        seen = count = 0
        while seen < characters:
            text, pending = decode_more(pending, tokens[count].data)
            seen += len(text)
            count += 1
        tokens = tokens[:count]
    return continuation.cut(len(tokens), STOP)
