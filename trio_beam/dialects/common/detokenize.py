"""Text from token ids, where a block may begin or end inside a character. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trio_beam.core.beam import Beam

#: Tokens in front of a block that are decoded with it. A character has at most 4, so that between
#: one cut at their beginning and one open at their end there is at least a whole one.
_CONTEXT_TOKENS = 16
#: What a decoder makes of bytes that are no character, or not yet.
BROKEN = "\ufffd"


def last_ids(prompt: Sequence[int], beam: Beam) -> list[int]:
    """The last ids of a prompt with a beam behind it, as context for decoding."""
    ids: list[int] = []
    node: Beam | None = beam
    while node is not None and node.continuation is not None and len(ids) < _CONTEXT_TOKENS:
        ids = [*_ids(node), *ids]
        node = node.parent
    return [*prompt[-_CONTEXT_TOKENS:], *ids][-_CONTEXT_TOKENS:]


def last_text(beam: Beam) -> str | None:
    """The text of a beam's last token; None if its last block has none."""
    if beam.continuation is None or not len(beam.continuation):
        return None
    return beam.continuation.tokens[-1].text


def whole_part(before: str, text: str, *, open_ended: bool) -> bytes | None:
    """The bytes of the characters that a text has more than what is before it; None if it has other ones.

    Some tokenizers change what is before a block.

    Args:
        before: the context, decoded by itself.
        text: the same with a block behind it.
        open_ended: whether a character that is not whole at the end may still become one.
    """
    whole = text.rstrip(BROKEN) if open_ended else text
    known = before.rstrip(BROKEN)
    if not whole.startswith(known):
        return None
    return whole[len(known) :].encode("utf-8", "replace")


def ids_of(beam: Beam) -> bytes:
    """The ids of a beam's last block, to go behind others in a JSON array."""
    return more_ids(_ids(beam))


def more_ids(ids: Iterable[int]) -> bytes:
    """Ids to go behind others in a JSON array."""
    return "".join([f",{number}" for number in ids]).encode()


def _ids(beam: Beam) -> list[int]:
    assert beam.continuation is not None
    return [key for key in beam.continuation.keys if isinstance(key, int)]
