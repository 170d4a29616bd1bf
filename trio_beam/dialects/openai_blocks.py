"""Turn a choice of the OpenAI protocol into a block: tokens, bytes and exactness."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from trio_beam.core.block import STOP, Continuation, Token, make_tokens
from trio_beam.core.language_model import SampleRequest
from trio_beam.core.tool_calls import ToolCall, as_text
from trio_beam.dialects.common.agreement import agrees, unmarked
from trio_beam.dialects.common.detokenize import BROKEN
from trio_beam.dialects.common.finish import is_cut, is_end, reason_of
from trio_beam.dialects.common.sampled_tokens import (
    NO_LOGPROB,
    SampledTokens,
    all_best_of,
    checked_logprobs,
    is_logprob,
)
from trio_beam.dialects.openai_wire import (
    AnyChoice,
    Entry,
    EntryWithTop,
    Logprobs,
    LogprobsWithTop,
    TopEntry,
)
from trio_beam.dialects.text_blocks import check_nothing_is_hidden, reason_of_calls
from trio_beam.errors import WITHOUT_LOGPROBS, LogprobsUnavailable, MalformedResponse


def continuation_of(
    choice: AnyChoice,
    request: SampleRequest,
    echo: Callable[[], list[str]],
    generated: int,
    *,
    reports_truncation: bool,
    hidden: bool = False,
    calls: tuple[ToolCall, ...] = (),
) -> Continuation:
    """Turn a choice into a block.

    Args:
        choice: the choice as received.
        request: the sampling request.
        echo: returns the texts that the server may have repeated before the new text.
        generated: the server's count of the choice's tokens; 0 if unknown.
        reports_truncation: whether the server is known to report when it truncates a text.
        hidden: whether the server counts thinking, which it need not show.
        calls: the tool calls, which are part of the answer beside the text.

    Raises:
        LogprobsUnavailable: there is text without log-probabilities.
        MalformedResponse: the log-probabilities do not belong to the tokens, generated tokens are not shown
            as text, or it is unclear whether the text has ended.
    """
    text, thought = choice.content, choice.thought
    sampled = _sampled(choice.logprobs, request.top_logprobs) if choice.logprobs else None
    if not text and not thought and not hidden and not calls:
        _check_nothing_is_hidden(choice, sampled, generated)
    if not sampled:
        return _without_tokens(choice, text or thought or as_text(calls), request, generated)
    if calls:
        return _calling(choice, sampled, request, generated, calls)
    ends = is_end(choice.finish_reason)
    scores_thinking = bool(thought) and _spell_thinking(sampled, thought, text)
    data, spelt = (_encode(text), True) if scores_thinking else _data(sampled, text, echo)
    count = len(sampled)
    proved = _is_ended(choice.finish_reason, sampled, request.max_tokens)
    if proved:
        sampled.end()
    spelt = spelt and (proved or not sampled.hides_last)
    believed = proved or (ends and reports_truncation)
    reason = reason_of(choice.finish_reason, count, request.max_tokens, proved=believed)
    # Fewer tokens than allowed: some have no log-probability, or the context is full.
    short = generated > count or (reason != STOP and count < request.max_tokens)
    unscored = bool(thought) != scores_thinking
    # An end-of-text token that is not reported was sampled and is missing from the score, as in the
    # streams of llama.cpp's chat.
    silent_end = reason == STOP and not proved
    continuation = Continuation(
        tokens=sampled.tokens,
        data=data,
        finish_reason=reason,
        exact=spelt
        and not (short or unscored or silent_end or sampled.bounded)
        and request.beam.continuation is None,
        keys=sampled.keys,
        logprob=sum(sampled.values),
        generated=max(count, generated),
        reasoning=thought or ("" if hidden else None),
    )
    return continuation if spelt else _disambiguate_keys(continuation)


def _calling(
    choice: AnyChoice,
    sampled: SampledTokens,
    request: SampleRequest,
    generated: int,
    calls: tuple[ToolCall, ...],
) -> Continuation:
    """Turn a choice with tool calls into a block: its tokens spell more than its text.

    It is not exact, since a server may have sampled a call by a grammar.
    """
    count = len(sampled)
    # Not all servers have log-probabilities of all tokens of a call, so the call tells blocks apart.
    last = f"{sampled.keys[-1]!r}\0{as_text(calls)}".encode("utf-8", "replace")
    return Continuation(
        tokens=sampled.tokens,
        data=_encode(choice.content),
        finish_reason=reason_of_calls(choice, count, request.max_tokens, calls),
        exact=False,
        keys=[*sampled.keys[:-1], last],
        logprob=sum(sampled.values),
        generated=max(count, generated),
        reasoning=choice.thought or None,
        tool_calls=calls,
    )


def _check_nothing_is_hidden(
    choice: AnyChoice, sampled: SampledTokens | None, generated: int
) -> None:
    shown = [piece.decode("utf-8", "replace") for piece in sampled.pieces] if sampled else []
    check_nothing_is_hidden(choice, max(generated, len(shown)), shown)
    if not agrees(shown, ""):
        raise MalformedResponse(
            f"no text: the server generated {max(generated, len(shown))} tokens but shows none of them as"
            " text (reasoning, or a filter?)"
        )


def _without_tokens(
    choice: AnyChoice, text: str, request: SampleRequest, generated: int
) -> Continuation:
    if text and not text.strip(BROKEN):
        raise LogprobsUnavailable(
            "the block ends inside its first character, of which the server shows no log-probabilities: ask"
            " for more tokens at once (tokens_per_step)",
            by_chance=True,
        )
    if text:
        raise LogprobsUnavailable(
            f"the server sent text without log-probabilities: {WITHOUT_LOGPROBS}"
            " (some servers must be started with log-probabilities enabled)"
        )
    reason = reason_of(choice.finish_reason, 0, request.max_tokens, proved=False)
    return Continuation(
        tokens=(), data=b"", finish_reason=reason, exact=not generated, generated=generated
    )


def _disambiguate_keys(continuation: Continuation) -> Continuation:
    """Return the block with keys that distinguish it from others.

    A server without token ids shows tokens inside a character as "" or U+FFFD, so two blocks may differ
    only in their text, which therefore becomes the last key.
    """
    shown = b"".join([key for key in continuation.keys if isinstance(key, bytes)])
    if shown == continuation.data or not len(continuation):
        return continuation
    return attrs.evolve(continuation, keys=[*continuation.keys[:-1], continuation.data])


def _is_ended(word: str | None, sampled: SampledTokens, asked: int) -> bool:
    """Return whether the tokens prove that the text has ended: their last is no text.

    A token that shows itself, but not in the text, is a control token; one that shows nothing may also be a
    part of a character. At the very end of the room either may be cut, if the server says so.
    """
    if sampled.pieces[-1] and not sampled.hides_last:
        return False
    return is_end(word) or (not is_cut(word) and sampled.hides_last) or len(sampled) < asked


def _data(sampled: SampledTokens, text: str, echo: Callable[[], list[str]]) -> tuple[bytes, bool]:
    """Return the bytes a block adds, and whether its tokens spell them.

    Raises:
        LogprobsUnavailable: the tokens belong to another text.
    """
    if sampled.spell(_encode(text)):
        return _encode(text), True
    # Some servers send back what stands in front of what they added; the log-probabilities know.
    readings = [text, *(text[len(part) :] for part in echo() if text.startswith(part))]
    for reading in readings[1:]:
        if sampled.spell(_encode(reading)):
            return _encode(reading), True
    for pieces in (sampled.pieces, [unmarked(piece) for piece in sampled.pieces]):
        plain = pieces == sampled.pieces
        sampled.pieces = pieces
        for reading in readings:  # the text may have been stripped; then the tokens know better
            data = sampled.spell_stripped(reading)
            if data is not None:
                return data, plain
    shown = [piece.decode("utf-8", "replace") for piece in sampled.pieces]
    readings = [reading for reading in readings if agrees(shown, reading)]
    if not readings:
        raise LogprobsUnavailable(
            "the log-probabilities do not belong to the text: they are for"
            f" {''.join(shown)[:60]!r}, but the text is {text[:60]!r}"
        )
    return _closest(b"".join(sampled.pieces), readings), False


def _spell_thinking(sampled: SampledTokens, thought: str, text: str) -> bool:
    """Return whether the tokens spell the thinking and then the text, with tags or without.

    Sets whether the last token shows itself behind the text: then it is a control token.
    """
    pieces = [piece.decode("utf-8", "replace") for piece in sampled.pieces]
    joined = "".join(pieces)
    at = joined.find(thought.strip())
    begin = joined.find(text.strip(), at + len(thought.strip()))
    if at < 0 or begin < 0:
        return False
    end = begin + len(text.strip())
    sampled.hides_last = bool(pieces[-1].strip()) and end <= len(joined) - len(pieces[-1])
    return True


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _closest(joined: bytes, readings: list[str]) -> bytes:
    """Return the text of a block whose tokens do not spell it, without incomplete characters.

    An incomplete character shows as U+FFFD at the end; resending it would corrupt the prompt.
    """
    whole = [_encode(text.rstrip(BROKEN)) for text in readings]
    if joined in whole:
        return joined
    return next((data for data in whole if data.startswith(joined)), whole[0])


def _sampled(logprobs: Logprobs | LogprobsWithTop, top: int) -> SampledTokens | None:
    if logprobs.content is not None:
        return _from_content(logprobs.content, top)
    texts, given = logprobs.tokens or [], logprobs.token_logprobs or []
    if len(texts) != len(given):
        raise MalformedResponse(f"{len(texts)} tokens with {len(given)} log-probabilities")
    rows = (logprobs.top_logprobs if isinstance(logprobs, LogprobsWithTop) else None) or []
    values, bounded = _values(given, lambda place: _row(rows, place, texts[place]))

    def make() -> list[Token]:
        return make_tokens(texts, values, top=all_best_of(rows, top, len(texts)))

    pieces = _encoded(texts)
    return SampledTokens(pieces, [*pieces], values, make, bounded)


def _row(
    rows: Sequence[dict[str, float | None] | None], place: int, text: str
) -> list[float | None]:
    row = (rows[place] if place < len(rows) else None) or {}
    return [row[text]] if is_logprob(row.get(text)) else list(row.values())


def _values(
    given: Sequence[float | None], alternatives: Callable[[int], list[float | None]]
) -> tuple[list[float], bool]:
    """Return the log-probabilities, and whether some had to be bounded.

    A token outside the most probable ones, for which the server sends a sentinel, has at most the least
    log-probability among its alternatives.
    """
    try:
        if min(given, default=0.0) >= NO_LOGPROB:  # type: ignore[type-var, operator]  # None is caught
            return checked_logprobs(given), False
    except TypeError:
        return checked_logprobs(given), False
    bounded = list(given)
    for place, value in enumerate(given):
        if value is not None and not is_logprob(value):
            shown = [
                other for other in alternatives(place) if other is not None and is_logprob(other)
            ]
            bounded[place] = min(shown, default=value)
    return checked_logprobs(bounded), True


def _encoded(texts: list[str]) -> list[bytes]:
    # Encoding all at once takes half the time.
    pieces = "\0".join(texts).encode("utf-8", "replace").split(b"\0")
    if len(pieces) == len(texts):
        return pieces
    return [text.encode("utf-8", "replace") for text in texts]


def _from_content(entries: Sequence[Entry], top: int) -> SampledTokens:
    values, bounded = _values(
        [entry.logprob for entry in entries], lambda place: _others(entries[place])
    )
    shown = [_alternatives(entry)[:top] for entry in entries] if top else []

    def make() -> list[Token]:
        return make_tokens(
            [entry.token for entry in entries],
            values,
            [entry.id for entry in entries],
            [_bytes(entry.bytes) for entry in entries],
            [tuple(map(_from_top, row)) for row in shown] if shown else [()] * len(entries),
        )

    pieces = [
        entry.token.encode("utf-8", "replace") if entry.bytes is None else bytes(entry.bytes)
        for entry in entries
    ]
    keys = [
        piece if entry.id is None else entry.id
        for entry, piece in zip(entries, pieces, strict=True)
    ]
    return SampledTokens(pieces, keys, values, make, bounded)


def _others(entry: Entry) -> list[float | None]:
    """Return the log-probabilities of an entry's alternatives, or only its own if it is among them."""
    shown = _alternatives(entry)
    own: list[float | None] = [other.logprob for other in shown if other.token == entry.token]
    return own[:1] or [other.logprob for other in shown]


def _alternatives(entry: Entry) -> list[TopEntry]:
    """Return an entry's alternatives that have a log-probability."""
    if not isinstance(entry, EntryWithTop) or not entry.top_logprobs:
        return []
    return [other for other in entry.top_logprobs if is_logprob(other.logprob)]


def _from_top(entry: TopEntry) -> Token:
    return Token(entry.token, min(entry.logprob or 0.0, 0.0), entry.id, _bytes(entry.bytes))


def _bytes(numbers: list[int] | None) -> bytes | None:
    return None if numbers is None else bytes(numbers)
