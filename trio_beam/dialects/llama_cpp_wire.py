"""What llama.cpp's own calls send and answer, as data; streams are joined to what they amount to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from trio_beam.core.block import CONTEXT, LENGTH, STOP, Token
from trio_beam.dialects.common.encoding import Byte, decoder_of
from trio_beam.dialects.common.sampled_tokens import checked_logprob
from trio_beam.dialects.common.sse import cut_short, decoder_of_stream

#: What of an answer is needed; the rest (the settings, the prompt) is longer than the block.
FIELDS = [
    "tokens",
    "stop_type",
    "truncated",
    "tokens_evaluated",
    "completion_probabilities",
    "index",
]
#: What tells, besides, that a stream has come to its end, and how much of it was not shown.
STREAM_FIELDS = [*FIELDS, "stop", "tokens_predicted"]
#: The only sampler that may run; all others would change the distribution that is searched.
SAMPLING: dict[str, Any] = {
    "samplers": ["temperature"],
    "top_p": 1,
    "top_k": 0,
    "min_p": 0,
    "repeat_penalty": 1,
    "cache_prompt": True,
}


class Top(msgspec.Struct):
    """One alternative."""

    id: int
    token: str
    bytes: list[Byte]
    logprob: float


class Entry(msgspec.Struct):
    """One token."""

    id: int
    token: str
    bytes: list[Byte]
    logprob: float


class EntryWithTop(Entry):
    """The same with its alternatives."""

    top_logprobs: list[Top] = []


class Native(msgspec.Struct):
    """One continuation. `missing`: tokens that a stream did not show."""

    tokens: list[int]
    stop_type: str = "limit"
    truncated: bool = False
    tokens_evaluated: int = 0
    completion_probabilities: list[Entry] = []
    index: int = 0
    missing: int = 0


class NativeWithTop(Native):
    """The same with alternatives."""

    completion_probabilities: list[EntryWithTop] = []  # type: ignore[assignment]  # the same, and more


class Event(Native):
    """A piece of a stream: some tokens, or the end of a choice with the counts of all of it."""

    tokens: list[int] = []
    stop: bool = False
    tokens_predicted: int = 0


class EventWithTop(Event):
    """The same with alternatives."""

    completion_probabilities: list[EntryWithTop] = []  # type: ignore[assignment]  # as above


class SampledEntry(msgspec.Struct):
    """One token, with its probability after all samplers."""

    prob: float


class SampledNative(msgspec.Struct):
    """One continuation, with the probabilities that its tokens were sampled with."""

    tokens: list[int]
    tokens_evaluated: int = 0
    completion_probabilities: list[SampledEntry] = []
    index: int = 0


class _Templated(msgspec.Struct):
    prompt: str


class _Tokenized(msgspec.Struct):
    tokens: list[int]


class _Settings(msgspec.Struct):
    n_ctx: int | None = None


class _Props(msgspec.Struct):
    total_slots: int | None = None
    build_info: str | None = None
    default_generation_settings: _Settings = msgspec.field(default_factory=_Settings)


class _Slot(msgspec.Struct):
    is_processing: bool


def join_events(events: Sequence[Event], _done: bool) -> list[Native]:
    """The continuations that a stream amounts to.

    Tokens inside a character are counted in a stream, and not shown.

    Raises:
        MalformedResponse: it ended before each of them had.
    """
    found: dict[int, Native] = {}
    ended = set()
    for event in events:
        native = found.setdefault(event.index, Native([], index=event.index))
        native.tokens += event.tokens
        native.completion_probabilities = [
            *native.completion_probabilities,
            *event.completion_probabilities,
        ]
        if event.stop:
            ended.add(event.index)
            native.stop_type, native.truncated = event.stop_type, event.truncated
            native.tokens_evaluated = event.tokens_evaluated
            native.missing = max(0, event.tokens_predicted - len(native.tokens))
    if not found or ended != found.keys():
        raise cut_short()
    return list(found.values())


decode_sampled = decoder_of(list[SampledNative] | SampledNative)
decode_template = decoder_of(_Templated)
decode_tokens = decoder_of(_Tokenized)
decode_props = decoder_of(_Props)
decode_slots = decoder_of(list[_Slot])
decode_with_top = decoder_of(list[NativeWithTop] | NativeWithTop)
_decode_without_top = decoder_of(list[Native] | Native)
_stream_with_top = decoder_of_stream(decoder_of(EventWithTop), join_events, decode_with_top)
_stream_without_top = decoder_of_stream(decoder_of(Event), join_events, _decode_without_top)


def decoder(*, top: bool, stream: bool) -> Callable[[bytes], list[Native] | Native]:
    """What reads an answer, with alternatives or without, as a stream or as JSON."""
    if stream:
        return _stream_with_top if top else _stream_without_top
    return decode_with_top if top else _decode_without_top


def reason_of(native: Native, asked: int) -> str:
    """Why a block of at most so many tokens ended, in our words."""
    if native.stop_type in ("eos", "word"):
        return STOP
    return CONTEXT if native.truncated or len(native.tokens) < asked else LENGTH


def token_of(entry: Entry, silent: Sequence[Token], top: int) -> Token:
    """A token; its entry has the whole character, so the bytes of those before it are taken off."""
    data = bytes(entry.bytes)
    for before in silent:
        data = data.removeprefix(before.bytes or b"")
    text = data.decode("utf-8", "replace") if silent else entry.token
    shown: tuple[Token, ...] = ()
    if top and isinstance(entry, EntryWithTop):
        shown = tuple([token_of_top(other) for other in entry.top_logprobs[:top]])
    return Token(text, checked_logprob(entry.logprob), entry.id, data, shown)


def token_of_top(top: Top) -> Token:
    """An alternative."""
    return Token(top.token, checked_logprob(top.logprob), top.id, bytes(top.bytes))
