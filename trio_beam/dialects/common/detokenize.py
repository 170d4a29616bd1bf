"""Decode token ids when a block may begin or end inside a character, or without log-probabilities. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from trio_beam.core.beam import Beam
from trio_beam.core.block import LENGTH, Continuation, Token, forced_token

#: Tokens before a block that are decoded with it. A character has at most 4 tokens, so at least one
#: complete character lies between one cut at the start and one left open at the end.
_CONTEXT_TOKENS = 16
#: Replacement character that decoders emit for invalid or incomplete bytes.
BROKEN = "\ufffd"


def last_ids(prompt: Sequence[int], beam: Beam) -> list[int]:
    """Return the last ids of the prompt and the beam, as context for decoding."""
    ids: list[int] = []
    node: Beam | None = beam
    while node is not None and node.continuation is not None and len(ids) < _CONTEXT_TOKENS:
        ids = [*_ids(node), *ids]
        node = node.parent
    return [*prompt[-_CONTEXT_TOKENS:], *ids][-_CONTEXT_TOKENS:]


def last_text(beam: Beam) -> str | None:
    """Return the text of the beam's last token; None if its last block is empty or shows no tokens."""
    if beam.continuation is None or not beam.continuation.tokens:
        return None
    return beam.continuation.tokens[-1].text


def may_end_inside(beam: Beam) -> bool:
    """Return whether a beam may end inside a character, since its last block shows no tokens."""
    block = beam.continuation
    return block is not None and bool(len(block)) and not block.tokens


def unscored_block(text: str, ids: Sequence[int], reason: str) -> Continuation:
    """Return a block of ids and a text, without log-probabilities and the texts of its tokens.

    Args:
        text: as the server decoded it; an incomplete character at its end is left to the next block.
        ids: of all tokens.
        reason: why it ended.
    """
    whole = text.rstrip(BROKEN) if reason == LENGTH else text
    return Continuation(
        tokens=(),
        data=whole.encode("utf-8", "replace"),
        finish_reason=reason,
        keys=[*ids],
        logprob=None,
    )


def forced_of(text: str, ids: Sequence[int], decoded: Iterable[str]) -> list[Token]:
    """Return the tokens of a text to append to beams.

    Args:
        text: the whole text.
        ids: of its tokens.
        decoded: the texts of the first token, the first two and so on.
    """
    ends = [0]
    for shown in decoded:
        known = shown.rstrip(BROKEN)
        ends.append(len(known) if text.startswith(known) and len(known) > ends[-1] else ends[-1])
    ends[len(ids) :] = [len(text)]
    return [
        forced_token(text[start:end], number)
        for number, (start, end) in zip(ids, pairwise(ends), strict=True)
    ]


def added_bytes(before: str, text: str, *, open_ended: bool) -> bytes | None:
    """Return the bytes `text` adds to `before`, or None if `text` does not start with `before`.

    The latter happens with tokenizers that alter the text in front of a block.

    Args:
        before: the context, decoded by itself.
        text: the context followed by a block, decoded together.
        open_ended: whether an incomplete character at the end may still be completed.
    """
    whole = text.rstrip(BROKEN) if open_ended else text
    known = before.rstrip(BROKEN)
    if not whole.startswith(known):
        return None
    return whole[len(known) :].encode("utf-8", "replace")


def ids_of(beam: Beam) -> bytes:
    """Encode the ids of the beam's last block for appending to a JSON array."""
    return more_ids(_ids(beam))


def more_ids(ids: Iterable[int]) -> bytes:
    """Encode ids for appending to a JSON array."""
    return "".join([f",{number}" for number in ids]).encode()


def _ids(beam: Beam) -> list[int]:
    assert beam.continuation is not None
    return [key for key in beam.continuation.keys if isinstance(key, int)]
