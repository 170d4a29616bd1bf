"""What a choice of the OpenAI protocol says, as a block: its tokens, its bytes, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.block import LENGTH, STOP, Continuation, Token
from trio_beam.core.language_model import SampleRequest
from trio_beam.dialects.common.sampled_tokens import SampledTokens, best_of, checked_logprobs
from trio_beam.dialects.openai_wire import (
    AnyChoice,
    Entry,
    EntryWithTop,
    Logprobs,
    LogprobsWithTop,
    TopEntry,
)
from trio_beam.errors import LogprobsUnavailable, MalformedResponse


def continuation_of(
    choice: AnyChoice, request: SampleRequest, echo: Beam | None, generated: int
) -> Continuation:
    """A choice as a block of a beam.

    Args:
        choice: as it came.
        request: what was asked for.
        echo: the beam, where the server may have sent it back in front of what it added.
        generated: the server's count of the choice's tokens; 0 if it is not known.

    Raises:
        LogprobsUnavailable: there is text without log-probabilities.
        MalformedResponse: the log-probabilities are not those of the tokens.
    """
    text = (choice.message.content if choice.message else choice.text) or ""
    sampled = _sampled(choice.logprobs, request.top_logprobs) if choice.logprobs else None
    reason = choice.finish_reason or LENGTH
    if not sampled:
        if text:
            raise LogprobsUnavailable(
                "the server sent a text without log-probabilities; it cannot be searched over"
                " (some servers have to be started with them enabled)"
            )
        return Continuation(
            tokens=(), data=b"", finish_reason=reason, exact=not generated, generated=generated
        )
    data, spelt = _data(sampled, text, echo, reason)
    count = len(sampled)
    # Fewer tokens than it had room for: some have no log-probability, or the context is full.
    short = generated > count or (reason == LENGTH and count < request.max_tokens)
    # An end of text that is not among the tokens was sampled, and is missing in the score: in the streams
    # of llama.cpp's chat, for one.
    silent_end = reason == STOP and sampled.pieces[-1] != b""
    continuation = Continuation(
        tokens=sampled.tokens,
        data=data,
        finish_reason=reason,
        exact=spelt and not (short or silent_end) and request.beam.continuation is None,
        keys=sampled.keys,
        logprob=sum(sampled.values),
        generated=max(count, generated),
    )
    return continuation if spelt else _told_apart(continuation)


def _told_apart(continuation: Continuation) -> Continuation:
    """The same block, so that it is not taken for another whose tokens only look the same.

    A server without token ids shows the tokens inside a character as "" or as U+FFFD: two blocks
    may then differ by nothing but their text, which is made a part of what tells them apart.
    """
    shown = b"".join([key for key in continuation.keys if isinstance(key, bytes)])
    if shown == continuation.data or not len(continuation):
        return continuation
    return attrs.evolve(continuation, keys=[*continuation.keys[:-1], continuation.data])


def _data(sampled: SampledTokens, text: str, echo: Beam | None, reason: str) -> tuple[bytes, bool]:
    """(the bytes that a block adds, whether its tokens spell them)."""
    whole = text.encode("utf-8", "replace")
    readings = [whole]
    if sampled.spell(whole, ended=reason == STOP):
        return whole, True
    if echo is not None and echo.continuation is not None:
        # llama.cpp sends the prefix back in front of what it added; the log-probabilities know.
        prefix = "".join(beam.fragment for beam in echo.lineage()).encode("utf-8", "replace")
        if whole.startswith(prefix):
            readings.append(whole[len(prefix) :])
            if sampled.spell(readings[1], ended=reason == STOP):
                return readings[1], True
    return _closest(b"".join(sampled.pieces), readings), False


def _closest(joined: bytes, readings: list[bytes]) -> bytes:
    """The text of a block whose tokens do not spell it, for one of them is a part of a character.

    Such a character shows as U+FFFD at the end; sent back, it would spoil the prompt.
    """
    whole = [data.decode("utf-8", "replace").rstrip("\ufffd").encode() for data in readings]
    if joined in whole:
        return joined
    return next((data for data in whole if data.startswith(joined)), whole[0])


def _sampled(logprobs: Logprobs | LogprobsWithTop, top: int) -> SampledTokens | None:
    if logprobs.content is not None:
        return _from_content(logprobs.content, top)
    texts, given = logprobs.tokens or [], logprobs.token_logprobs or []
    if len(texts) != len(given):
        raise MalformedResponse(f"{len(texts)} tokens with {len(given)} log-probabilities")
    values = checked_logprobs(given)
    rows = (logprobs.top_logprobs if isinstance(logprobs, LogprobsWithTop) else None) or []
    checked_logprobs(max(row.values()) for row in rows if row)

    def make(place: int) -> Token:
        row = rows[place] if place < len(rows) else None
        return Token(texts[place], values[place], None, None, best_of(row, top))

    pieces = _encoded(texts)
    return SampledTokens(pieces, [*pieces], values, make)


def _encoded(texts: list[str]) -> list[bytes]:
    # All at once takes half the time of one by one.
    pieces = "\0".join(texts).encode("utf-8", "replace").split(b"\0")
    if len(pieces) == len(texts):
        return pieces
    return [text.encode("utf-8", "replace") for text in texts]


def _from_content(entries: Sequence[Entry], top: int) -> SampledTokens:
    values = checked_logprobs([entry.logprob for entry in entries])
    shown = [entry.top_logprobs[:top] for entry in entries if isinstance(entry, EntryWithTop)]
    checked_logprobs([other.logprob for row in shown for other in row])

    def make(place: int) -> Token:
        entry = entries[place]
        row = tuple([_from_top(other) for other in shown[place]]) if shown else ()
        return Token(entry.token, values[place], entry.id, _bytes(entry.bytes), row)

    pieces = [
        entry.token.encode("utf-8", "replace") if entry.bytes is None else bytes(entry.bytes)
        for entry in entries
    ]
    keys = [
        piece if entry.id is None else entry.id
        for entry, piece in zip(entries, pieces, strict=True)
    ]
    return SampledTokens(pieces, keys, values, make)


def _from_top(entry: TopEntry) -> Token:
    return Token(entry.token, min(entry.logprob, 0.0), entry.id, _bytes(entry.bytes))


def _bytes(numbers: list[int] | None) -> bytes | None:
    return None if numbers is None else bytes(numbers)
