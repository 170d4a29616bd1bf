"""What the OpenAI protocol answers, as data; streams are joined to what they amount to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeAlias, TypeVar

import msgspec

from trio_beam.dialects.common.encoding import Byte, decoder_of
from trio_beam.dialects.common.sse import decoder_of_stream
from trio_beam.dialects.common.stream_join import join_choices, join_lists


class TopEntry(msgspec.Struct):
    """One alternative in a chat-style list."""

    token: str
    logprob: float
    id: int | None = None
    bytes: list[Byte] | None = None


class Entry(msgspec.Struct):
    """One token in a chat-style list."""

    token: str
    logprob: float | None = None
    id: int | None = None
    bytes: list[Byte] | None = None


class EntryWithTop(Entry):
    """The same with its alternatives."""

    top_logprobs: list[TopEntry] = []


class Logprobs(msgspec.Struct):
    """Either shape: ``content``, or the legacy arrays."""

    content: list[Entry] | None = None
    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None


class LogprobsWithTop(msgspec.Struct):
    """The same with the alternatives, which are most of an answer: decoded only where asked for."""

    content: list[EntryWithTop] | None = None
    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None


class Message(msgspec.Struct):
    """The assistant's message."""

    content: str | None = None


L = TypeVar("L")


class Choice(msgspec.Struct, Generic[L]):
    """One continuation: ``text`` in completions, ``message`` in chat."""

    index: int = 0
    text: str | None = None
    message: Message | None = None
    finish_reason: str | None = None
    logprobs: L | None = None


class Counts(msgspec.Struct):
    """The server's own count."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Completion(msgspec.Struct, Generic[L]):
    """The answer to either call."""

    choices: list[Choice[L]]
    usage: Counts | None = None


class ChunkChoice(msgspec.Struct, Generic[L]):
    """A piece of one continuation: ``text`` in completions, ``delta`` in chat."""

    index: int = 0
    text: str | None = None
    delta: Message | None = None
    finish_reason: str | None = None
    logprobs: L | None = None


class Chunk(msgspec.Struct, Generic[L]):
    """One event of a stream; one that closes may hold the server's count and no choice."""

    choices: list[ChunkChoice[L]] = []
    usage: Counts | None = None


#: What is decoded of an answer, with alternatives or without.
AnyCompletion: TypeAlias = Completion[LogprobsWithTop] | Completion[Logprobs]
AnyChoice: TypeAlias = Choice[LogprobsWithTop] | Choice[Logprobs]
_AnyLogprobs = TypeVar("_AnyLogprobs", Logprobs, LogprobsWithTop)


def join_chunks(
    chunks: Sequence[Chunk[_AnyLogprobs]], done: bool, n: int
) -> Completion[_AnyLogprobs]:
    """The answer that a stream of n choices amounts to.

    The server's counts are one for all choices (vLLM) or one for each (llama.cpp), whose prompt is
    the same.

    Raises:
        MalformedResponse: it ended before ``[DONE]`` and before all of them had.
    """
    usage: Counts | None = None
    for chunk in chunks:
        if chunk.usage is not None:
            usage = _added(usage, chunk.usage)
    pieces = [piece for chunk in chunks for piece in chunk.choices]
    return Completion(choices=join_choices(pieces, _longer, done=done, n=n), usage=usage)


def _longer(
    whole: Choice[_AnyLogprobs] | None, piece: ChunkChoice[_AnyLogprobs]
) -> Choice[_AnyLogprobs]:
    if whole is None:
        whole = Choice(index=piece.index, text="")
    added = piece.delta.content if piece.delta else piece.text
    whole.text = (whole.text or "") + (added or "")
    whole.finish_reason = piece.finish_reason or whole.finish_reason
    whole.logprobs = join_lists(whole.logprobs, piece.logprobs)
    return whole


def _added(before: Counts | None, more: Counts) -> Counts:
    if before is None:
        return more
    return Counts(
        prompt_tokens=max(before.prompt_tokens or 0, more.prompt_tokens or 0),
        completion_tokens=(before.completion_tokens or 0) + (more.completion_tokens or 0),
    )


decode_with_top = decoder_of(Completion[LogprobsWithTop])
decode_without_top = decoder_of(Completion[Logprobs])
_chunk_with_top = decoder_of(Chunk[LogprobsWithTop])
_chunk_without_top = decoder_of(Chunk[Logprobs])


def decoder(*, top: bool, stream: bool, n: int) -> Callable[[bytes], AnyCompletion]:
    """What reads an answer, with alternatives or without, as a stream of n choices or as JSON."""
    plain = decode_with_top if top else decode_without_top
    if not stream:
        return plain
    chunk = _chunk_with_top if top else _chunk_without_top
    return decoder_of_stream(chunk, lambda chunks, done: join_chunks(chunks, done, n), plain)
