"""The OpenAI protocol, as hosted APIs and most servers speak it.

Text goes out and comes back: a beam is continued by resending its text, which a server may cut
into other tokens than it sampled (``exact=False``). Three shapes of answer are read: completions
with the legacy arrays, completions with a chat-style ``content``, and chat completions.

Recorded: vLLM 0.32, llama.cpp (b11549), llama-cpp-python 0.2.60. From documentation: the hosted API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

import attrs
import msgspec

from trio_beam.core.block import LENGTH, STOP, Continuation, Token
from trio_beam.dialects.base import (
    DIALECTS,
    Answer,
    Byte,
    Dialect,
    Exchange,
    PrefixEncoder,
    WireRequest,
    decoder_of,
    encode_string,
    splice,
)
from trio_beam.dialects.sampled import SampledTokens, checked_logprobs
from trio_beam.dialects.sse import cut_short, decoder_of_stream
from trio_beam.dialects.told_apart import told_apart
from trio_beam.errors import ConfigError, LogprobsUnavailable, MalformedResponse, RequestRejected

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trio_beam.core.beam import Beam
    from trio_beam.core.prompt import Prompt
    from trio_beam.language_model import SampleRequest


#: Asks for the last message, the assistant's, to be continued: vLLM, SGLang; llama.cpp does so anyway.
_CONTINUE: dict[str, Any] = {"continue_final_message": True, "add_generation_prompt": False}
#: Most tokens that a word of one token may add to a prompt without a new turn.
_OWN_TOKENS = 3


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
_Completion: TypeAlias = Completion[LogprobsWithTop] | Completion[Logprobs]
_Choice: TypeAlias = Choice[LogprobsWithTop] | Choice[Logprobs]
_AnyLogprobs = TypeVar("_AnyLogprobs", Logprobs, LogprobsWithTop)
decode_with_top = decoder_of(Completion[LogprobsWithTop])
decode_without_top = decoder_of(Completion[Logprobs])


def join_chunks(
    chunks: Sequence[Chunk[_AnyLogprobs]], done: bool, n: int
) -> Completion[_AnyLogprobs]:
    """The answer that a stream amounts to.

    Choices come interleaved, each ends with its reason. Their counts are one for all (vLLM) or one for
    each (llama.cpp), whose prompt is the same.

    Args:
        chunks: in the order of the wire.
        done: whether the stream came to its ``[DONE]``.
        n: the choices that were asked for.

    Raises:
        MalformedResponse: it ended before that, and before all of them had.
    """
    choices: dict[int, Choice[_AnyLogprobs]] = {}
    usage: Counts | None = None
    for chunk in chunks:
        for piece in chunk.choices:
            choice = choices.setdefault(piece.index, Choice(index=piece.index, text=""))
            added = piece.delta.content if piece.delta else piece.text
            choice.text = (choice.text or "") + (added or "")
            choice.finish_reason = piece.finish_reason or choice.finish_reason
            if piece.logprobs is not None:
                choice.logprobs = _joined(choice.logprobs, piece.logprobs)
        if chunk.usage is not None:
            usage = _added(usage, chunk.usage)
    ended = sum(choice.finish_reason is not None for choice in choices.values())
    if not done and ended < max(n, len(choices)):
        raise cut_short()
    return Completion(choices=list(choices.values()), usage=usage)


def _joined(before: _AnyLogprobs | None, more: _AnyLogprobs) -> _AnyLogprobs:
    if before is None:
        return more
    for field in more.__struct_fields__:
        known, value = getattr(before, field), getattr(more, field)
        if known is None:
            setattr(before, field, value)
        elif value is not None:
            known.extend(value)
    return before


def _added(before: Counts | None, more: Counts) -> Counts:
    if before is None:
        return more
    return Counts(
        prompt_tokens=max(before.prompt_tokens or 0, more.prompt_tokens or 0),
        completion_tokens=(before.completion_tokens or 0) + (more.completion_tokens or 0),
    )


_chunk_with_top = decoder_of(Chunk[LogprobsWithTop])
_chunk_without_top = decoder_of(Chunk[Logprobs])


def _decoder(*, top: bool, stream: bool, n: int) -> Callable[[bytes], _Completion]:
    """What reads an answer, with alternatives or without, as a stream of n choices or as JSON."""
    plain = decode_with_top if top else decode_without_top
    if not stream:
        return plain
    chunk = _chunk_with_top if top else _chunk_without_top
    return decoder_of_stream(chunk, lambda chunks, done: join_chunks(chunks, done, n), plain)


@attrs.frozen(kw_only=True, eq=False)
class Taken:
    """A prompt in JSON, up to the place where the beam's text goes."""

    api: Literal["completions", "chat"]
    json: bytes
    prefix: PrefixEncoder


@DIALECTS.register("openai")
class OpenAI(Dialect):
    """Text in, text and log-probabilities out."""

    name: ClassVar[str] = "openai"
    can_stream: ClassVar[bool] = True

    #: Whether nobody has named this dialect, so that the server may be anything.
    _guessed = False
    _continues: bool | None = None

    def configure(self) -> Exchange[int | None]:
        """Asks nothing: there is no call for that."""
        self._guessed = True
        slots = yield from super().configure()
        return slots

    def continues_chat(self) -> Exchange[bool | None]:
        """By the server's count: what is continued adds its own token to the prompt, and no new turn."""
        counts: list[int] = []
        user = {"role": "user", "content": "Count."}
        for more in ([], [{"role": "assistant", "content": "One"}]):
            flags = _CONTINUE if more else {}
            fields = {"model": self.model, "max_tokens": 1, "messages": [user, *more], **flags}
            body = msgspec.json.encode(fields)
            try:
                answer: _Completion = yield WireRequest(
                    path="/chat/completions", decode=decode_without_top, body=body, most_tokens=1
                )
            except RequestRejected:
                return False
            if answer.usage is None or answer.usage.prompt_tokens is None:
                return None
            counts.append(answer.usage.prompt_tokens)
        added = counts[1] - counts[0]
        return True if added == 1 else False if added > _OWN_TOKENS else None

    def take(self, prompt: Prompt) -> Exchange[Taken]:
        """Encode the prompt.

        For a chat it asks a server that nobody has named, once, whether it continues messages.

        Raises:
            ConfigError: it does not.
        """
        yield from ()
        if prompt.messages is not None and self.api == "completions":
            raise ConfigError(
                "api", "'chat' or 'auto' for chat messages with this dialect", self.api
            )
        messages = self._messages_of(prompt)
        prefix = PrefixEncoder(lambda beam: encode_string(beam.fragment))
        if messages is None:
            return Taken(api="completions", json=encode_string(prompt.text or ""), prefix=prefix)
        if self._guessed and self._continues is None:
            # A server that does not tell is taken at its word, which is that it is OpenAI's.
            self._continues = (yield from self.continues_chat()) is not False
        if self._continues is False:
            bound = (
                "a string: this server opens a new turn where the assistant's message is to be"
                " continued (name the dialect if that is wrong)"
            )
            raise ConfigError("prompt", bound, "chat messages")
        return Taken(api="chat", json=msgspec.json.encode(messages)[1:-1], prefix=prefix)

    def sample(self, taken: Taken, request: SampleRequest) -> Exchange[Answer]:
        """One request, or a few while the server's limits are being learnt."""
        completion, n = yield from self._within_limits(
            request.n,
            max(1, request.top_logprobs),
            lambda n, top: self._request(taken, request, n, top),
        )
        return self._answer(completion, taken, request, n)

    def _request(
        self, taken: Taken, request: SampleRequest, n: int, top: int
    ) -> WireRequest[_Completion]:
        fields: dict[str, Any] = {
            "model": self.model,
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": 1,
        }
        if n > 1:
            fields["n"] = n
        if request.seed is not None:
            fields["seed"] = request.seed
        prefix = taken.prefix(request.beam)
        if self.stream:
            fields |= {"stream": True, "stream_options": {"include_usage": True}}
        decode = _decoder(top=request.top_logprobs > 0, stream=self.stream, n=n)
        most_tokens = n * request.max_tokens
        if taken.api == "completions":
            fields["logprobs"] = top
            body = splice("prompt", b'"%s%s"' % (taken.json, prefix), fields)
            path = "/completions"
            return WireRequest(path=path, decode=decode, body=body, most_tokens=most_tokens)
        fields |= {"logprobs": True, "top_logprobs": top}
        messages = taken.json
        if request.beam.continuation is not None:
            messages += b',{"role":"assistant","content":"%s"}' % prefix
            fields |= _CONTINUE
        body = splice("messages", b"[%s]" % messages, fields)
        path = "/chat/completions"
        return WireRequest(path=path, decode=decode, body=body, most_tokens=most_tokens)

    def _note_shape(self, choices: Sequence[_Choice]) -> None:
        if self.shape is None:
            given = next((choice.logprobs for choice in choices if choice.logprobs), None)
            if given is not None:
                self.shape = "content" if given.content is not None else "legacy"

    def _answer(
        self, completion: _Completion, taken: Taken, request: SampleRequest, n: int
    ) -> Answer:
        given: Sequence[_Choice] = completion.choices
        self._note_shape(given)
        choices = sorted(given, key=lambda choice: choice.index)[:n]
        if not choices:
            raise MalformedResponse("the answer holds no choices")
        if len(choices) < n:
            self.limits.fewer(len(choices))  # n was ignored, or cut down without a word
        usage = completion.usage or Counts()
        # The server's count of generated tokens is only sure to be this choice's if it is alone.
        counted = usage.completion_tokens if len(choices) == 1 else None
        generated = min(counted or 0, request.max_tokens)
        echo = request.beam if taken.api == "chat" else None
        return Answer(
            continuations=tuple(
                _continuation(choice, request, echo, generated) for choice in choices
            ),
            prompt_tokens=max(0, usage.prompt_tokens or 0),
        )


def _continuation(
    choice: _Choice, request: SampleRequest, echo: Beam | None, generated: int
) -> Continuation:
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
    return continuation if spelt else told_apart(continuation)


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
        return Token(texts[place], values[place], None, None, _legacy_top(row, top))

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


def _legacy_top(row: dict[str, float] | None, top: int) -> tuple[Token, ...]:
    if not row or not top:
        return ()
    best = sorted(row.items(), key=lambda item: -item[1])[:top]
    return tuple([Token(text, min(value, 0.0)) for text, value in best])
