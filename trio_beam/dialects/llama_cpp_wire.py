"""Requests and responses of llama.cpp's native calls as data, with streams joined."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from trio_beam.core.block import CONTEXT, LENGTH, STOP, Token
from trio_beam.core.language_model import SampleRequest
from trio_beam.dialects.common.encoding import Byte, decoder_of
from trio_beam.dialects.common.sampled_tokens import checked_logprob
from trio_beam.dialects.common.sse import decoder_of_stream, truncated_stream
from trio_beam.dialects.common.watch import Logprobs as TokenLogprobs

#: Prompt tokens that were in the cache. ``tokens_cached`` is something else: all that are in it afterwards.
CACHED = "timings/cache_n"
#: The response fields needed; the rest (settings, prompt) is longer than the block.
FIELDS = [
    "tokens",
    "stop_type",
    "truncated",
    "tokens_evaluated",
    "completion_probabilities",
    "index",
    CACHED,
]
#: Also needed of a stream: whether it ended, and how many tokens it omitted.
STREAM_FIELDS = [*FIELDS, "stop", "tokens_predicted"]
#: Needed in place of ``completion_probabilities``, where these are not asked for.
TEXT_FIELD = "content"
#: Only the temperature sampler may run; the others would change the searched distribution.
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
    """One token with its alternatives."""

    top_logprobs: list[Top] = []


class Completion(msgspec.Struct):
    """One continuation. `missing`: number of tokens that a stream omitted."""

    tokens: list[int]
    stop_type: str = "limit"
    truncated: bool = False
    tokens_evaluated: int = 0
    cached: int | None = msgspec.field(default=None, name=CACHED)
    completion_probabilities: list[Entry] = []
    index: int = 0
    missing: int = 0
    content: str = ""


class CompletionWithTop(Completion):
    """One continuation with alternatives."""

    completion_probabilities: list[EntryWithTop] = []  # type: ignore[assignment]  # the same, and more


class Event(Completion):
    """A streamed event: some tokens, or the end of a choice with its total counts."""

    tokens: list[int] = []
    stop: bool = False
    tokens_predicted: int = 0


class EventWithTop(Event):
    """A streamed event with alternatives."""

    completion_probabilities: list[EntryWithTop] = []  # type: ignore[assignment]  # as above


class SampledEntry(msgspec.Struct):
    """One token's probability after all samplers."""

    prob: float


class SampledCompletion(msgspec.Struct):
    """One continuation with its sampling probabilities."""

    tokens: list[int]
    tokens_evaluated: int = 0
    completion_probabilities: list[SampledEntry] = []
    index: int = 0


class _Templated(msgspec.Struct):
    prompt: str


class _Tokenized(msgspec.Struct):
    tokens: list[int]


class _Piece(msgspec.Struct):
    id: int
    #: Bytes where they are no text.
    piece: str | list[Byte]


class _Pieces(msgspec.Struct):
    tokens: list[_Piece]


class _Detokenized(msgspec.Struct):
    content: str


class _Settings(msgspec.Struct):
    n_ctx: int | None = None


class _Props(msgspec.Struct):
    total_slots: int | None = None
    build_info: str | None = None
    default_generation_settings: _Settings = msgspec.field(default_factory=_Settings)


class _Slot(msgspec.Struct):
    is_processing: bool


def join_events(events: Sequence[Event], done: bool) -> list[Completion]:
    """Join streamed events into continuations.

    Only a stream that was given up ends with ``[DONE]``. A stream counts tokens inside an incomplete
    character but does not send them.

    Raises:
        MalformedResponse: the stream ended before every continuation had.
    """
    found: dict[int, Completion] = {}
    ended = set()
    for event in events:
        completion = found.setdefault(event.index, Completion([], index=event.index))
        completion.tokens += event.tokens
        completion.content += event.content
        completion.completion_probabilities = [
            *completion.completion_probabilities,
            *event.completion_probabilities,
        ]
        if event.stop:
            ended.add(event.index)
            completion.stop_type, completion.truncated = event.stop_type, event.truncated
            completion.tokens_evaluated = event.tokens_evaluated
            completion.cached = event.cached
            completion.missing = max(0, event.tokens_predicted - len(completion.tokens))
    if not found or (ended != found.keys() and not done):
        raise truncated_stream()
    return list(found.values())


decode_sampled = decoder_of(list[SampledCompletion] | SampledCompletion)
decode_template = decoder_of(_Templated)
decode_tokens = decoder_of(_Tokenized)
decode_pieces = decoder_of(_Pieces)
decode_detokenized = decoder_of(_Detokenized)
decode_props = decoder_of(_Props)
decode_slots = decoder_of(list[_Slot])
decode_with_top = decoder_of(list[CompletionWithTop] | CompletionWithTop)
_decode_without_top = decoder_of(list[Completion] | Completion)
_event_with_top = decoder_of(EventWithTop)
_stream_with_top = decoder_of_stream(_event_with_top, join_events, decode_with_top)
_stream_without_top = decoder_of_stream(decoder_of(Event), join_events, _decode_without_top)


def logprobs_in_event(data: bytes) -> Iterator[TokenLogprobs]:
    """Yield the log-probabilities of the tokens in a streamed event."""
    for entry in _event_with_top(data).completion_probabilities:
        yield TokenLogprobs(entry.logprob, [other.logprob for other in entry.top_logprobs])


def decoder(*, top: bool, stream: bool) -> Callable[[bytes], list[Completion] | Completion]:
    """Return the decoder for a response with or without alternatives, streamed or as JSON."""
    if stream:
        return _stream_with_top if top else _stream_without_top
    return decode_with_top if top else _decode_without_top


def reason_of(completion: Completion, request: SampleRequest) -> str:
    """Return the finish reason of a requested block."""
    if completion.stop_type == "word" and request.delimiters:
        return LENGTH
    if completion.stop_type in ("eos", "word"):
        return STOP
    short = len(completion.tokens) < request.max_tokens
    return CONTEXT if completion.truncated or short else LENGTH


def token_of(entry: Entry, silent: Sequence[Token], top: int) -> Token:
    """Build a token from its entry.

    An entry holds the whole character, so the bytes of the `silent` tokens before it are removed.
    """
    data = bytes(entry.bytes)
    for before in silent:
        data = data.removeprefix(before.bytes or b"")
    text = data.decode("utf-8", "replace") if silent else entry.token
    shown: tuple[Token, ...] = ()
    if top and isinstance(entry, EntryWithTop):
        shown = tuple([token_of_top(other) for other in entry.top_logprobs[:top]])
    return Token(text, checked_logprob(entry.logprob), entry.id, data, shown)


def token_of_top(top: Top) -> Token:
    """Build a token from an alternative."""
    return Token(top.token, checked_logprob(top.logprob), top.id, bytes(top.bytes))
