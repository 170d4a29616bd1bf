"""llama.cpp's own completion call: token ids in and out.

A string prompt goes out as it is, a chat through ``/apply-template`` and ``/tokenize``, and behind it
the beam as token ids, so that a block is continued from the very tokens that were sampled. The
server leaves out the log-probabilities of tokens inside a character that is not complete; they are
asked for again, each by a request of one token (`_repair`).

Recorded: b11549.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import attrs
import msgspec

from trio_beam.core.block import CONTEXT, LENGTH, STOP, Continuation, Token
from trio_beam.dialects.base import (
    DIALECTS,
    Answer,
    Byte,
    Dialect,
    Exchange,
    ModelList,
    PrefixEncoder,
    WireRequest,
    decoder_of,
    encode_string,
    splice,
)
from trio_beam.dialects.sampled import SampledTokens, checked_logprob, checked_logprobs, too_long
from trio_beam.errors import (
    EndpointError,
    LogprobsUnavailable,
    MalformedResponse,
    RequestRejected,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trio_beam.core.beam import Beam
    from trio_beam.core.prompt import Prompt
    from trio_beam.language_model import SampleRequest

#: Byte-level tokens inside one character: it has at most 4 bytes, and its last token is reported.
_MOST_SILENT = 3
#: How many alternatives a repair asks for, until the token is among them; the last is any vocabulary.
_REPAIR_TOP = (64, 4096, 1 << 20)
#: What of an answer is needed; the rest (the settings, the prompt) is longer than the block.
_FIELDS = [
    "tokens",
    "stop_type",
    "truncated",
    "tokens_evaluated",
    "completion_probabilities",
    "index",
]
#: The only sampler that may run; all others would change the distribution that is searched.
_SAMPLING: dict[str, Any] = {
    "samplers": ["temperature"],
    "top_p": 1,
    "top_k": 0,
    "min_p": 0,
    "repeat_penalty": 1,
    "cache_prompt": True,
}


_WITHOUT = "the server sent tokens without log-probabilities"
_NOT_THEIRS = "the log-probabilities are not those of the tokens"


class _Top(msgspec.Struct):
    id: int
    token: str
    bytes: list[Byte]
    logprob: float


class _Entry(msgspec.Struct):
    id: int
    token: str
    bytes: list[Byte]
    logprob: float


class _EntryWithTop(_Entry):
    top_logprobs: list[_Top] = []


class _Native(msgspec.Struct):
    tokens: list[int]
    stop_type: str = "limit"
    truncated: bool = False
    tokens_evaluated: int = 0
    completion_probabilities: list[_Entry] = []
    index: int = 0


class _NativeWithTop(_Native):
    completion_probabilities: list[_EntryWithTop] = []  # type: ignore[assignment]  # the same, and more


class _Templated(msgspec.Struct):
    prompt: str


class _Tokenized(msgspec.Struct):
    tokens: list[int]


class _Props(msgspec.Struct):
    total_slots: int | None = None


_decode = decoder_of(list[_Native] | _Native)
_decode_with_top = decoder_of(list[_NativeWithTop] | _NativeWithTop)
_decode_template = decoder_of(_Templated)
_decode_tokens = decoder_of(_Tokenized)
_decode_props = decoder_of(_Props)


@attrs.frozen(kw_only=True, eq=False)
class Taken:
    """A prompt as the first elements of a JSON array: a string, or token ids."""

    json: bytes
    prefix: PrefixEncoder


@DIALECTS.register("llama_cpp")
class LlamaCpp(Dialect):
    """Token ids in and out; exact."""

    name: ClassVar[str] = "llama_cpp"

    #: A token that is whole characters by itself, once one is known.
    _plain_token: int | None = None

    @classmethod
    def recognises(cls, models: ModelList) -> bool:
        """By the owner that it names."""
        return any(entry.owned_by == "llamacpp" for entry in models.data)

    def configure(self) -> Exchange[int | None]:
        """The number of slots, which is also the most choices a request may ask for."""
        try:
            props = yield WireRequest(path="/props", decode=_decode_props, at_root=True)
        except EndpointError:
            return None  # it can be switched off; the limit is then learnt from a refusal
        slots: int | None = props.total_slots
        if slots is None or slots < 1:
            return None
        if self.limits.n is None:
            self.limits.n = slots
        return slots

    def take(self, prompt: Prompt) -> Exchange[Taken]:
        """Chat messages become token ids by the server's own template; a string stays one."""
        prefix = PrefixEncoder(_encode_ids)
        messages = prompt.messages
        if prompt.text is not None and self.api == "chat":
            messages = ({"role": "user", "content": prompt.text},)
        if messages is None:
            text = encode_string(prompt.text or "")
            return Taken(json=b'"%s"' % text, prefix=prefix)
        body = msgspec.json.encode({"messages": messages})
        templated = yield WireRequest(
            path="/apply-template", decode=_decode_template, body=body, at_root=True
        )
        ids = yield from self._tokenize(templated.prompt)
        if not ids:
            raise MalformedResponse("the chat template makes no tokens of these messages")
        return Taken(json=_join(ids), prefix=prefix)

    def sample(self, taken: Taken, request: SampleRequest) -> Exchange[Answer]:
        """One request, or a few while the limit on choices is being learnt, and the repairs."""
        prompt = taken.json + taken.prefix(request.beam)
        while True:
            n = self.limits.cap_n(request.n)
            try:
                answer = yield self._request(prompt, request, n)
            except RequestRejected as refusal:
                if not self.limits.learn(refusal, n=n, logprobs=1):
                    raise
            else:
                break
        natives: list[_Native] = answer if isinstance(answer, list) else [answer]
        natives = sorted(natives, key=lambda native: native.index)[:n]
        if not natives:
            raise MalformedResponse("the answer holds no continuation")
        if len(natives) < n:
            self.limits.fewer(len(natives))
        continuations: list[Continuation] = []
        repairs: list[int] = []  # the prompt tokens of each
        for native in natives:
            if len(native.tokens) > request.max_tokens:  # else each of them might be repaired
                raise MalformedResponse(too_long(len(native.tokens), request.max_tokens))
            if len(native.completion_probabilities) == len(native.tokens):
                continuations.append(self._whole(native, request))
            else:
                tokens = yield from self._tokens(native, prompt, request, repairs)
                continuations.append(_repaired(native, tokens, request.max_tokens))
        # Every choice counts the same prompt; it was evaluated once.
        return Answer(
            continuations=tuple(continuations),
            prompt_tokens=max(0, natives[0].tokens_evaluated) + sum(repairs),
            generated_besides=len(repairs),
        )

    def _request(self, prompt: bytes, request: SampleRequest, n: int) -> WireRequest[Any]:
        fields: dict[str, Any] = {
            "model": self.model,
            "n_predict": request.max_tokens,
            "temperature": request.temperature,
            "n_probs": max(1, request.top_logprobs),
            "return_tokens": True,
            "response_fields": _FIELDS,
            **_SAMPLING,
        }
        if n > 1:
            fields["n_cmpl"] = n
        if request.seed is not None:
            fields["seed"] = request.seed
        decode = _decode_with_top if request.top_logprobs else _decode
        body = splice("prompt", b"[%s]" % prompt, fields)
        return WireRequest(
            path="/completion",
            decode=decode,
            body=body,
            at_root=True,
            most_tokens=n * request.max_tokens,
        )

    def _tokenize(self, text: str) -> Exchange[list[int]]:
        fields = {"content": text, "add_special": True, "parse_special": True}
        body = msgspec.json.encode(fields)
        answer = yield WireRequest(path="/tokenize", decode=_decode_tokens, body=body, at_root=True)
        ids: list[int] = answer.tokens
        return ids

    def _whole(self, native: _Native, request: SampleRequest) -> Continuation:
        """A block of which nothing was left out."""
        _check_entries(native)
        entries, top = native.completion_probabilities, request.top_logprobs
        values = checked_logprobs(entry.logprob for entry in entries)
        for entry in entries if top else ():
            assert isinstance(entry, _EntryWithTop)
            checked_logprobs(other.logprob for other in entry.top_logprobs[:top])
        if self._plain_token is None and entries:
            self._note_plain(_from_entry(entries[0], (), 0))
        sampled = SampledTokens(
            [bytes(entry.bytes) for entry in entries],
            [*native.tokens],
            values,
            lambda place: _from_entry(entries[place], (), top),
        )
        return Continuation(
            tokens=sampled.tokens,
            data=b"".join(sampled.pieces),
            finish_reason=_reason(native, request.max_tokens),
            keys=sampled.keys,
            logprob=sum(values),
        )

    # -- log-probabilities that the server leaves out

    def _tokens(
        self, native: _Native, prompt: bytes, request: SampleRequest, repairs: list[int]
    ) -> Exchange[list[Token]]:
        entries = native.completion_probabilities
        _check_entries(native)
        tokens: list[Token] = []
        silent: list[Token] = []  # of the character that is not yet complete
        place = 0
        for at, number in enumerate(native.tokens):
            entry = entries[place] if place < len(entries) else None
            token: Token | None = None
            if entry is not None and entry.id == number:
                token = _from_entry(entry, silent, request.top_logprobs)
                if not silent or number not in native.tokens[at + 1 : at + 1 + _MOST_SILENT]:
                    repaired = token
                else:  # the entry may be that of the same token further on: only its bytes tell
                    repaired = yield from self._repair(
                        prompt, native, at, request.top_logprobs, repairs
                    )
                if repaired.bytes == token.bytes:
                    place += 1
                    silent = []
                    tokens.append(token)
                    self._note_plain(token)
                    continue
                token = repaired
            if len(silent) == _MOST_SILENT:
                raise LogprobsUnavailable(_WITHOUT)
            if token is None:
                token = yield from self._repair(prompt, native, at, request.top_logprobs, repairs)
            silent.append(token)
            tokens.append(token)
        if place < len(entries):
            raise MalformedResponse(_NOT_THEIRS)
        return tokens

    def _note_plain(self, token: Token) -> None:
        """Remember a token that is whole characters by itself."""
        if token.bytes and token.text.encode() == token.bytes:
            self._plain_token = token.id

    def _repair(
        self, prompt: bytes, native: _Native, at: int, top: int, repairs: list[int]
    ) -> Exchange[Token]:
        """The log-probability and the bytes of token number `at` of a block.

        Another token, of whole characters, is forced by a logit bias, since for that one the server
        does report; its alternatives carry the unbiased log-probabilities.
        """
        number = native.tokens[at]
        prompt += _encode(native.tokens[:at])
        if self._plain_token is None:
            letter = yield from self._tokenize("a")
            if not letter:
                raise MalformedResponse("the tokenizer makes no token of a letter")
            self._plain_token = letter[-1]
        for count in _REPAIR_TOP:
            fields = {
                "model": self.model,
                "n_predict": 1,
                "temperature": 1,
                "n_probs": count,
                "logit_bias": [[self._plain_token, 1000]],
                "return_tokens": True,
                "response_fields": _FIELDS,
                **_SAMPLING,
            }
            body = splice("prompt", b"[%s]" % prompt, fields)
            answer = yield WireRequest(
                path="/completion",
                decode=_decode_with_top,
                body=body,
                at_root=True,
                most_tokens=1,
            )
            if not isinstance(answer, _NativeWithTop) or not answer.completion_probabilities:
                break
            repairs.append(max(0, answer.tokens_evaluated))
            alternatives = answer.completion_probabilities[0].top_logprobs
            for found in alternatives:
                if found.id == number:
                    shown = tuple(_from_top(other) for other in alternatives[:top])
                    return _from_top(found)._replace(top=shown)
        raise LogprobsUnavailable(f"the server gives no log-probability for token {number}")


def _check_entries(native: _Native) -> None:
    """Refuse what no repair can mend, before one is asked for."""
    entries, ids = native.completion_probabilities, native.tokens
    rest = iter(ids)
    if not all(entry.id in rest for entry in entries):  # in this order
        raise MalformedResponse(_NOT_THEIRS)
    if len(entries) == len(ids):
        return
    # Where the last entry may belong, if no run of silent tokens is longer than a character's.
    places = {-1}
    for entry in entries:
        steps = [place + step for place in places for step in range(1, _MOST_SILENT + 2)]
        places = {place for place in steps if place < len(ids) and ids[place] == entry.id}
    if not any(len(ids) - 1 - place <= _MOST_SILENT for place in places):
        raise LogprobsUnavailable(_WITHOUT)


def _repaired(native: _Native, tokens: Sequence[Token], asked: int) -> Continuation:
    return Continuation(
        tokens=tuple(tokens),
        data=b"".join([token.bytes or b"" for token in tokens]),
        finish_reason=_reason(native, asked),
    )


def _reason(native: _Native, asked: int) -> str:
    if native.stop_type in ("eos", "word"):
        return STOP
    return CONTEXT if native.truncated or len(native.tokens) < asked else LENGTH


def _from_entry(entry: _Entry, silent: Sequence[Token], top: int) -> Token:
    """A token; its entry has the whole character, so the bytes of those before it are taken off."""
    data = bytes(entry.bytes)
    for before in silent:
        data = data.removeprefix(before.bytes or b"")
    text = data.decode("utf-8", "replace") if silent else entry.token
    shown: tuple[Token, ...] = ()
    if top and isinstance(entry, _EntryWithTop):
        shown = tuple([_from_top(other) for other in entry.top_logprobs[:top]])
    return Token(text, checked_logprob(entry.logprob), entry.id, data, shown)


def _from_top(top: _Top) -> Token:
    return Token(top.token, checked_logprob(top.logprob), top.id, bytes(top.bytes))


def _encode(ids: Iterable[int]) -> bytes:
    """Ids to go behind others in a JSON array."""
    return "".join([f",{number}" for number in ids]).encode()


def _encode_ids(beam: Beam) -> bytes:
    assert beam.continuation is not None
    return _encode([key for key in beam.continuation.keys if isinstance(key, int)])


def _join(ids: Iterable[int]) -> bytes:
    return ",".join(map(str, ids)).encode()
