"""Where thinking has used up its budget, and the block that ends it there. Pure.

The search is then one over the model whose thinking ends after ``reasoning_budget`` tokens at the latest.
In it the closing tag is certain once the budget is used up: the forced tokens have a log-probability of 0,
under the model as under the proposal. So sums of log-probabilities and the weights of particles are those
of the sampled tokens, scores divide by the number of these, and a beam is as exact as it was.

Tokens are counted from the beginning of the text, with an opening tag that the model wrote, without its
closing one. Thinking that is opened anew later counts as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.block import LENGTH, STOP, Continuation, Token
from trio_beam.core.reasoning import Section, sections


class ForcedEnd(NamedTuple):
    """Where a block has to end: after `kept` tokens, followed by a text that closes the thinking."""

    kept: int
    closing: str


def thinking_room(beam: Beam, budget: int) -> int | None:
    """Return how many more tokens a beam may think; None if it is not thinking.

    A beam without text counts as thinking: a model thinks at the beginning if it does.
    """
    text = beam.full_text
    found = sections(text, beam.thinking)
    if not found:
        return None if text.strip() else max(1, budget - beam.length)
    if found[-1].closed:
        return None
    used = sum(_counts(start, found) for start in _starts(beam, text))
    return max(1, budget - used)


def forced_end(
    beam: Beam, continuation: Continuation, budget: int, closing: str
) -> ForcedEnd | None:
    """Return where a block uses up the budget for thinking; None if it does not, or closes it in time.

    Args:
        beam: the beam that the block continues.
        continuation: the block.
        budget: maximum number of tokens of thinking.
        closing: the text that ends thinking without an opening tag in the text.
    """
    if continuation.finish_reason not in (LENGTH, STOP):
        return None
    child = beam.extend(continuation)
    text = child.full_text
    found = sections(text, child.thinking)
    if not found:
        return None
    used = 0
    for place, start in enumerate(_starts(child, text), -beam.sampled_length):
        if not _counts(start, found):
            continue
        section = _section_of(start, found)
        if place >= 0 and used >= budget and start >= section.inside:
            return ForcedEnd(place, section.closing or closing)
        used += 1
    last = found[-1]
    if last.closed or used < budget:
        return None
    # A model that ended its text in its thinking is asked for the answer: without the end of text.
    return ForcedEnd(len(continuation) - _ends_text(continuation), last.closing or closing)


def end_thinking(continuation: Continuation, count: int, closing: Sequence[Token]) -> Continuation:
    """Return the first `count` tokens of a block, followed by forced ones."""
    kept = continuation.cut(count, LENGTH)
    data = continuation.data
    exact = continuation.exact
    if count < len(continuation) - _ends_text(continuation):
        pieces = [token.data for token in kept.tokens]
        if len(pieces) == count and data.startswith(b"".join(pieces)):
            data = b"".join(pieces)
        else:  # which part of the text is theirs can only be estimated
            data = data[: len(data) * count // len(continuation)]
            data = data.decode("utf-8", "ignore").encode()
            exact = False
    proposal = kept.proposal
    return attrs.evolve(
        kept,
        tokens=(*kept.tokens, *closing) if kept.tokens or not count else (),
        data=data + b"".join(token.data for token in closing),
        keys=[*kept.keys, *(token.key for token in closing)],
        exact=exact,
        proposal=None if proposal is None else [*proposal, *(0.0 for _ in closing)],
        forced=len(closing),
        discarded=continuation.discarded + len(continuation) - count,
    )


def _ends_text(continuation: Continuation) -> int:
    """Return the number of tokens at the end of a block that end the text: 0 or 1."""
    if continuation.finish_reason != STOP or not len(continuation):
        return 0
    tokens = continuation.tokens
    return int(not tokens or not tokens[-1].data)


def _section_of(start: int, found: Sequence[Section]) -> Section:
    return next(section for section in found if start < section.end)


def _counts(start: int, found: Sequence[Section]) -> bool:
    """Return whether a token that starts at a character is thinking; a later opening tag is not."""
    return any(
        (section.inside if place else section.start) <= start < section.end
        for place, section in enumerate(found)
    )


def _starts(beam: Beam, text: str) -> Iterator[int]:
    """Yield the character of the text in which each sampled token starts.

    Tokens whose text is unknown share the text of their block equally.
    """
    sizes = [len(char.encode("utf-8", "replace")) for char in text]
    char, end = 0, sizes[0] if sizes else 0  # the current character, and the byte at which it ends
    at = 0.0
    for node in beam.lineage():
        block = node.continuation
        assert block is not None
        begin = at
        pieces: list[float] = [len(token.data) for token in block.tokens[: block.sampled]]
        if len(pieces) != block.sampled:
            pieces = [len(block.data) / max(1, len(block))] * block.sampled
        for size in pieces:
            while end <= at and char + 1 < len(sizes):
                char += 1
                end += sizes[char]
            yield char if at < end else len(text)
            at += size
        at = begin + len(block.data)
