"""The OpenAI protocol, as hosted APIs and most servers speak it.

Text goes out and comes back: a beam is continued by resending its text, which a server may cut
into other tokens than it sampled (``exact=False``). Three shapes of answer are read: completions
with the legacy arrays, completions with a chat-style ``content``, and chat completions.

Recorded: vLLM 0.32, llama.cpp (b11549), llama-cpp-python 0.2.60. From documentation: the hosted API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

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
    checked_logprob,
    decoder_of,
    encode_string,
    splice,
)
from trio_beam.errors import ConfigError, LogprobsUnavailable, MalformedResponse, RequestRejected

if TYPE_CHECKING:
    from trio_beam.core.beam import Beam
    from trio_beam.core.prompt import Prompt
    from trio_beam.language_model import SampleRequest


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
    top_logprobs: list[TopEntry] = []


class Logprobs(msgspec.Struct):
    """Either shape: ``content``, or the legacy arrays."""

    content: list[Entry] | None = None
    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None


class Message(msgspec.Struct):
    """The assistant's message."""

    content: str | None = None


class Choice(msgspec.Struct):
    """One continuation: ``text`` in completions, ``message`` in chat."""

    index: int = 0
    text: str | None = None
    message: Message | None = None
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class Counts(msgspec.Struct):
    """The server's own count."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Completion(msgspec.Struct):
    """The answer to either call."""

    choices: list[Choice]
    usage: Counts | None = None


_decode = decoder_of(Completion)


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

    def take(self, prompt: Prompt) -> Exchange[Taken]:
        """Encode the prompt; sends nothing."""
        yield from ()
        if prompt.messages is not None and self.api == "completions":
            raise ConfigError(
                "api", "'chat' or 'auto' for chat messages with this dialect", self.api
            )
        messages = prompt.messages
        if prompt.text is not None and self.api == "chat":
            messages = ({"role": "user", "content": prompt.text},)
        prefix = PrefixEncoder(lambda beam: encode_string(beam.fragment))
        if messages is None:
            return Taken(api="completions", json=encode_string(prompt.text or ""), prefix=prefix)
        return Taken(api="chat", json=msgspec.json.encode(messages)[1:-1], prefix=prefix)

    def sample(self, taken: Taken, request: SampleRequest) -> Exchange[Answer]:
        """One request, or a few while the server's limits are being learnt."""
        while True:
            n = self.limits.cap_n(request.n)
            top = self.limits.cap_logprobs(max(1, request.top_logprobs))
            try:
                completion = yield self._request(taken, request, n, top)
            except RequestRejected as refusal:
                if not self.limits.learn(refusal, n=n, logprobs=top):
                    raise
            else:
                return self._answer(completion, taken, request, n)

    def _request(
        self, taken: Taken, request: SampleRequest, n: int, top: int
    ) -> WireRequest[Completion]:
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
        if taken.api == "completions":
            fields["logprobs"] = top
            body = splice("prompt", b'"%s%s"' % (taken.json, prefix), fields)
            return WireRequest(
                path="/completions", decode=_decode, body=body, most_tokens=n * request.max_tokens
            )
        fields |= {"logprobs": True, "top_logprobs": top}
        messages = taken.json
        if request.beam.continuation is not None:
            messages += b',{"role":"assistant","content":"%s"}' % prefix
            fields |= {"continue_final_message": True, "add_generation_prompt": False}
        body = splice("messages", b"[%s]" % messages, fields)
        return WireRequest(
            path="/chat/completions", decode=_decode, body=body, most_tokens=n * request.max_tokens
        )

    def _answer(
        self, completion: Completion, taken: Taken, request: SampleRequest, n: int
    ) -> Answer:
        choices = sorted(completion.choices, key=lambda choice: choice.index)[:n]
        if not choices:
            raise MalformedResponse("the answer holds no choices")
        if len(choices) < n:
            self.limits.fewer(len(choices))  # n was ignored, or cut down without a word
        usage = completion.usage or Counts()
        # The server's count of generated tokens is only sure to be this choice's if it is alone.
        generated = usage.completion_tokens if len(choices) == 1 else None
        echo = request.beam if taken.api == "chat" else None
        return Answer(
            continuations=tuple(
                _continuation(choice, request, echo, generated or 0) for choice in choices
            ),
            prompt_tokens=usage.prompt_tokens or 0,
        )


def _continuation(
    choice: Choice, request: SampleRequest, echo: Beam | None, generated: int
) -> Continuation:
    text = (choice.message.content if choice.message else choice.text) or ""
    tokens = _tokens(choice.logprobs, request.top_logprobs) if choice.logprobs else []
    reason = choice.finish_reason or LENGTH
    if text and not tokens:
        raise LogprobsUnavailable(
            "the server sent a text without log-probabilities; it cannot be searched over"
            " (some servers have to be started with them enabled)"
        )
    if not text and not tokens:
        return Continuation(tokens=(), data=b"", finish_reason=reason, generated=generated)
    readings = [text.encode("utf-8", "replace")]
    if echo is not None and echo.continuation is not None:
        # llama.cpp sends the prefix back in front of what it added; the log-probabilities know.
        prefix = "".join(beam.fragment for beam in echo.lineage()).encode("utf-8", "replace")
        if readings[0].startswith(prefix):
            readings.append(readings[0][len(prefix) :])
    spelt = next((data for data in readings if _spells(tokens, data, reason)), None)
    data = _closest(tokens, readings) if spelt is None else spelt
    # Fewer tokens than it had room for: some have no log-probability, or the context is full.
    short = generated > len(tokens) or (reason == LENGTH and len(tokens) < request.max_tokens)
    return Continuation(
        tokens=tuple(tokens),
        data=data,
        finish_reason=reason,
        exact=spelt is not None and not short and request.beam.continuation is None,
        generated=max(len(tokens), generated),
    )


def _closest(tokens: list[Token], readings: list[bytes]) -> bytes:
    """The text of a block whose tokens do not spell it, for one of them is a part of a character.

    Such a character shows as U+FFFD at the end; sent back, it would spoil the prompt.
    """
    joined = b"".join([token.data for token in tokens])
    cut = [
        data
        for data in readings
        if data.decode("utf-8", "replace").rstrip("\ufffd").encode() == joined
    ]
    data = next(iter([*cut, *(data for data in readings if data.startswith(joined))]), readings[0])
    return data.decode("utf-8", "replace").rstrip("\ufffd").encode()


def _spells(tokens: list[Token], data: bytes, reason: str) -> bool:
    """Whether the tokens spell the text; an end-of-text token, which is not text, is blanked."""
    joined = b"".join([token.data for token in tokens])
    if joined == data:
        return True
    last = len(tokens[-1].data)
    if reason == STOP and last and joined[:-last] == data:
        tokens[-1] = tokens[-1]._replace(text="", bytes=b"")
        return True
    return False


def _tokens(logprobs: Logprobs, top: int) -> list[Token]:
    if logprobs.content is not None:
        return [_from_entry(entry, top) for entry in logprobs.content]
    texts, values = logprobs.tokens or [], logprobs.token_logprobs or []
    if len(texts) != len(values):
        raise MalformedResponse(f"{len(texts)} tokens with {len(values)} log-probabilities")
    tops = [*((logprobs.top_logprobs if top else None) or []), *[None] * len(texts)]
    return [
        Token(text, _checked(value), None, None, _legacy_top(row, top))
        for text, value, row in zip(texts, values, tops, strict=False)
    ]


def _from_entry(entry: Entry, top: int) -> Token:
    alternatives = entry.top_logprobs[:top]
    return Token(
        entry.token,
        _checked(entry.logprob),
        entry.id,
        None if entry.bytes is None else bytes(entry.bytes),
        tuple(
            Token(
                t.token,
                checked_logprob(t.logprob),
                t.id,
                None if t.bytes is None else bytes(t.bytes),
            )
            for t in alternatives
        ),
    )


def _legacy_top(row: dict[str, float] | None, top: int) -> tuple[Token, ...]:
    if not row or not top:
        return ()
    best = sorted(row.items(), key=lambda item: -item[1])[:top]
    return tuple(Token(text, checked_logprob(value)) for text, value in best)


def _checked(value: float | None) -> float:
    if value is None:
        raise LogprobsUnavailable("the server sent a token without its log-probability")
    return checked_logprob(value)
