"""Responses of the OpenAI protocol as data, with streams joined.

Fields that affect the score are parsed strictly, everything else leniently: servers send counts as
floats, a null index, content as a list of parts, infinite alternatives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from trio_beam.core.tool_calls import ToolCall
from trio_beam.dialects.common.dialect import check_choices
from trio_beam.dialects.common.encoding import Byte, count_in, decoder_of
from trio_beam.dialects.common.error_responses import error_inside
from trio_beam.dialects.common.finish import drop_failed, failure_of
from trio_beam.dialects.common.sse import decoder_of_stream
from trio_beam.dialects.common.stream_join import join_choices, join_lists
from trio_beam.dialects.common.tool_calls import read_calls
from trio_beam.dialects.common.usage_counts import (
    cached_tokens,
    charged_tokens,
    reasoning_tokens,
    written_tokens,
)
from trio_beam.dialects.common.watch import Logprobs as TokenLogprobs
from trio_beam.errors import EndpointError, MalformedResponse, RequestRejected

#: Types of the parts of a message that are its text.
_TEXT_TYPES = ("text", "output_text")
#: Types of the parts that are its thinking (Mistral, Anthropic's shape at gateways, OpenRouter).
_THINKING_TYPES = ("thinking", "reasoning", "reasoning.text")


class TopEntry(msgspec.Struct):
    """One alternative in a chat-style list."""

    token: str
    logprob: float | None = None
    id: int | None = None
    bytes: list[Byte] | None = None


class Entry(msgspec.Struct):
    """One token in a chat-style list."""

    token: str
    logprob: float | None = None
    id: int | None = None
    bytes: list[Byte] | None = None


class EntryWithTop(Entry):
    """One token with its alternatives."""

    top_logprobs: list[TopEntry] | None = None


class Logprobs(msgspec.Struct):
    """Either shape: ``content``, or the legacy arrays."""

    content: list[Entry] | None = None
    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None


class LogprobsWithTop(msgspec.Struct):
    """`Logprobs` with alternatives: most of a response, so decoded only if requested."""

    content: list[EntryWithTop] | None = None
    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float | None] | None] | None = None


class Message(msgspec.Struct):
    """The assistant's message, or a piece of it; its content is a text, a part, or a list of these."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    thinking: Any = None
    refusal: Any = None
    tool_calls: Any = None
    function_call: Any = None

    @property
    def text(self) -> str:
        """The text of the content."""
        return _text_of(self.content) or ""

    @property
    def thought(self) -> str:
        """The thinking, in a field of its own or in parts of the content."""
        for given in (self.reasoning_content, self.reasoning, self.thinking):
            if given:  # servers repeat it under a second name
                return _text_of(given) or ""
        return "".join(map(_thinking_in, self.parts))

    @property
    def parts(self) -> list[Any]:
        """The content as a list of parts."""
        return self.content if isinstance(self.content, list) else [self.content]

    @property
    def call_pieces(self) -> list[Any]:
        """The tool calls, or pieces of them; the former ``function_call`` is one."""
        calls = self.tool_calls if isinstance(self.tool_calls, list) else []
        return [*calls, self.function_call] if self.function_call else calls

    @property
    def elsewhere(self) -> str:
        """Name of the field with output that is neither text nor thinking; empty if there is none."""
        for name in _INSTEAD_OF_TEXT:
            if getattr(self, name):
                return name
        odd = [part for part in self.parts if part and _text_of(part) is None]
        return "content" if any(not _thinking_in(part) for part in odd) else ""


#: Characters of a refusal that an error shows.
_MAX_SHOWN = 200
#: Fields of a message that are no text.
_INSTEAD_OF_TEXT = ("refusal", "tool_calls", "function_call")


def _thinking_in(part: Any) -> str:
    """Return the thinking in a part of a content, whose type names it."""
    if not isinstance(part, dict) or part.get("type") not in _THINKING_TYPES:
        return ""
    inside = next((part[name] for name in ("thinking", "reasoning", "text") if part.get(name)), "")
    return _text_of(inside) or ""


def _text_of(content: Any) -> str | None:
    """The text of a message's content, or of a part of it; None if it is something else."""
    if isinstance(content, list):
        return "".join(_text_of(part) or "" for part in content)
    if isinstance(content, dict):
        content = content.get("text") if content.get("type", "text") in _TEXT_TYPES else None
    return content if isinstance(content, str) else None


L = TypeVar("L")


class Choice(msgspec.Struct, Generic[L]):
    """One continuation: ``text`` in completions, ``message`` in chat."""

    index: int | None = None
    text: str | None = None
    message: Message | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    finish_reason: str | None = None
    logprobs: L | None = None
    error: Any = None

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tools that the model calls."""
        return read_calls(self.message.call_pieces) if self.message else ()

    @property
    def content(self) -> str:
        """The text, in either call."""
        return (self.message.text if self.message and not self.text else self.text) or ""

    @property
    def thought(self) -> str:
        """The thinking that came apart from the text."""
        own = _text_of(self.reasoning_content or self.reasoning) or ""
        return (self.message.thought if self.message else "") or own


class Completion(msgspec.Struct, Generic[L]):
    """The response to either call; `body` is its raw form."""

    choices: list[Choice[L]] | None = None
    usage: Any = None
    error: Any = None
    body: bytes = b""


class ChunkChoice(msgspec.Struct, Generic[L]):
    """A piece of one continuation: ``text`` in completions, ``delta`` in chat."""

    index: int | None = 0
    text: str | None = None
    delta: Message | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    finish_reason: str | None = None
    logprobs: L | None = None
    error: Any = None


class Chunk(msgspec.Struct, Generic[L]):
    """One streamed event; the last may hold the counts and no choice."""

    choices: list[ChunkChoice[L]] | None = None
    usage: Any = None


#: A decoded response, with alternatives or without.
AnyCompletion: TypeAlias = Completion[LogprobsWithTop] | Completion[Logprobs]
AnyChoice: TypeAlias = Choice[LogprobsWithTop] | Choice[Logprobs]
_AnyLogprobs = TypeVar("_AnyLogprobs", Logprobs, LogprobsWithTop)


def join_chunks(
    chunks: Sequence[Chunk[_AnyLogprobs]], done: bool, n: int
) -> Completion[_AnyLogprobs]:
    """Join a stream of n choices into a response.

    Raises:
        MalformedResponse: it ended before ``[DONE]`` and before every choice had ended.
    """
    pieces = [piece for chunk in chunks for piece in chunk.choices or ()]
    for piece in pieces:
        piece.index = piece.index or 0
    choices = join_choices(pieces, _append, done=done, n=n)  # type: ignore[type-var]  # no index is None now
    return Completion(choices=choices, usage=_usage_of(chunks))


def _append(
    whole: Choice[_AnyLogprobs] | None, piece: ChunkChoice[_AnyLogprobs]
) -> Choice[_AnyLogprobs]:
    if whole is None:
        whole = Choice(index=piece.index, text="")
    if piece.delta:
        if piece.delta.elsewhere:
            whole.message = _add_elsewhere(whole.message or Message(), piece.delta)
        whole.text = (whole.text or "") + piece.delta.text
        thought = piece.delta.thought
    else:
        whole.text = (whole.text or "") + (piece.text or "")
        thought = _text_of(piece.reasoning_content or piece.reasoning) or ""
    if thought:
        whole.reasoning = (whole.reasoning or "") + thought
    whole.finish_reason = piece.finish_reason or whole.finish_reason
    whole.logprobs = join_lists(whole.logprobs, piece.logprobs)
    whole.error = whole.error or piece.error
    return whole


def _add_elsewhere(message: Message, delta: Message) -> Message:
    """Add the piece's output that is neither text nor thinking."""
    calls = delta.call_pieces
    if calls:
        message.tool_calls = [*(message.tool_calls or ()), *calls]
    elif delta.refusal:
        message.refusal = (message.refusal or "") + (_text_of(delta.refusal) or "")
    else:
        setattr(message, delta.elsewhere, getattr(delta, delta.elsewhere))
    return message


def _usage_of(chunks: Sequence[Chunk[Any]]) -> dict[str, int] | None:
    """Return the counts of a stream.

    Servers send them once for all choices (vLLM), once per choice, with or after it (llama.cpp), or as
    running totals in every chunk. The counts of the prompt are the same in all of them.
    """
    found = [chunk for chunk in chunks if chunk.usage is not None]
    prompt = _most(found, lambda usage: count_in(usage, "prompt_tokens"))
    counts = {
        "prompt_tokens": prompt or 0,
        "completion_tokens": _sum_of(found, lambda usage: count_in(usage, "completion_tokens")),
        "total_tokens": (prompt or 0) + _sum_of(found, charged_tokens),
        "reasoning_tokens": _most(found, reasoning_tokens) or 0,
        "cache_write_tokens": _most(found, written_tokens) or 0,
    }
    cached = _most(found, cached_tokens)
    if cached is not None:
        counts["cached_tokens"] = cached
    return counts if found else None


def _most(chunks: Sequence[Chunk[Any]], read: Callable[[Any], int | None]) -> int | None:
    counts = [read(chunk.usage) for chunk in chunks]
    return max((count for count in counts if count is not None), default=None)


def _sum_of(chunks: Sequence[Chunk[Any]], read: Callable[[Any], int | None]) -> int:
    """Return the sum over all choices."""
    alone, beside = 0, {}
    for chunk in chunks:
        count = read(chunk.usage) or 0
        if chunk.choices:
            beside[chunk.choices[0].index or 0] = count
        else:
            alone += count
    return max(alone, sum(beside.values()))


def hides_thinking(usage: Any) -> bool:
    """Return whether the server counts thinking (which it then need not show)."""
    return (reasoning_tokens(usage) or 0) > 0


decode_with_top = decoder_of(Completion[LogprobsWithTop])
decode_without_top = decoder_of(Completion[Logprobs])
_chunk_with_top = decoder_of(Chunk[LogprobsWithTop])
_chunk_without_top = decoder_of(Chunk[Logprobs])


def logprobs_in_chunk(data: bytes) -> Iterator[TokenLogprobs]:
    """Yield the log-probabilities of the tokens in a streamed event."""
    for choice in _chunk_with_top(data).choices or ():
        given = choice.logprobs
        if given is None:
            continue
        for entry in given.content or ():
            top = [other.logprob for other in entry.top_logprobs or ()]
            yield TokenLogprobs(entry.logprob, top)
        rows = given.top_logprobs or []
        for place, own in enumerate(given.token_logprobs or ()):
            row = (rows[place] if place < len(rows) else None) or {}
            yield TokenLogprobs(own, row.values())


def tokens_in(completion: AnyCompletion) -> Sequence[object]:
    """Return the tokens of the first choice, as far as it shows any."""
    choices = completion.choices or ()
    given = choices[0].logprobs if choices else None
    return (given.content or given.tokens or ()) if given is not None else ()


def decoder(*, top: bool, stream: bool, n: int) -> Callable[[bytes], AnyCompletion]:
    """Return the decoder for a response with or without alternatives, streamed (n choices) or as JSON."""
    plain = decode_with_top if top else decode_without_top
    read: Callable[[bytes], AnyCompletion] = plain
    if stream:
        chunk = _chunk_with_top if top else _chunk_without_top
        read = decoder_of_stream(chunk, lambda chunks, done: join_chunks(chunks, done, n), plain)

    def decode(body: bytes) -> AnyCompletion:
        completion = read(body)
        check_choices(completion.choices or (), n)
        completion.body = body
        return keep_good_choices(completion)

    return decode


def keep_good_choices(completion: AnyCompletion) -> AnyCompletion:
    """Drop the first failed choice and all choices after it.

    Raises:
        EndpointError: the response is an error, or its first choice failed.
        msgspec.ValidationError: it is something else.
    """
    if not completion.choices:
        raise _instead_of_choices(completion)
    choices: list[Any] = completion.choices
    for place, choice in enumerate(choices):
        if choice.index is None:
            choice.index = place
    choices.sort(key=lambda choice: choice.index)
    drop_failed(choices, _failure_in)
    return completion


def _instead_of_choices(completion: AnyCompletion) -> Exception:
    if completion.error is not None:
        return error_inside(completion.error)
    if completion.choices is None and b'"choices"' not in completion.body:
        return msgspec.ValidationError("Object missing required field `choices`")
    return MalformedResponse("the response holds no choices", transient=True)


def _failure_in(choice: AnyChoice) -> EndpointError | None:
    if choice.error is not None:
        return error_inside(choice.error)
    if choice.message and choice.message.refusal and not choice.content:
        words = (_text_of(choice.message.refusal) or "")[:_MAX_SHOWN]
        return RequestRejected(
            f"the model refused to answer: {words!r}", status=200, code="refusal"
        )
    return failure_of(choice.finish_reason)
