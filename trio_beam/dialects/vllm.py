"""vLLM's completions call: token ids in and out.

A string goes out as it is in the first round; the answer tells its token ids, and from then on prompt
and beam travel as ids. A chat becomes ids by the server's own template (``/tokenize``). A
log-probability that is missing is asked for again with the block as a part of the prompt (``echo``).

vLLM leaves a character out of the text until it is whole, and shows the tokens inside it as "". Where a
block begins or ends inside one, its ids are detokenized together with some before them.

Recorded: 0.32.0.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import msgspec

from trio_beam.core.beam import Beam
from trio_beam.core.block import LENGTH, STOP, Continuation, Token, too_long
from trio_beam.core.language_model import SampleRequest
from trio_beam.core.prompt import Prompt
from trio_beam.dialects.common.detokenize import ids_of, last_ids, last_text, whole_part
from trio_beam.dialects.common.dialect import (
    DIALECTS,
    Answer,
    Api,
    Dialect,
    Exchange,
    WireRequest,
    check_choices,
)
from trio_beam.dialects.common.encoding import PrefixEncoder, encode_string, max_tokens_of, splice
from trio_beam.dialects.common.limits import Limits
from trio_beam.dialects.common.negotiation import VALUE, Negotiation, OptionalField, Way
from trio_beam.dialects.common.sampled_tokens import SampledTokens, best_of, checked_logprobs
from trio_beam.dialects.openai_fields import COMPLETION_FIELDS, plain_fields
from trio_beam.dialects.vllm_next_tokens import ALTERNATIVES_BY_ID, NextTokens, detokenize
from trio_beam.dialects.vllm_wire import (
    Choice,
    decode_tokenized,
    decode_version,
    decoder,
    read_running,
)
from trio_beam.errors import (
    EndpointError,
    LogprobsUnavailable,
    MalformedResponse,
)

#: Whatever the model's own generation_config.json says, nothing but the temperature may shape the samples.
_PLAIN: dict[str, Any] = {"top_k": -1, "min_p": 0, "repetition_penalty": 1}
_TOKEN_IDS = OptionalField(
    name="return_token_ids", ways=(Way(fields={"return_token_ids": VALUE}), Way(fields={}))
)


@attrs.define(kw_only=True, eq=False)
class PreparedPrompt:
    """A prompt: its text in JSON, its ids as far as they are known, or both."""

    text: bytes | None
    ids: list[int] | None
    prefix: PrefixEncoder

    def json(self, beam: Beam) -> bytes:
        """The prompt with a beam behind it."""
        if self.ids is None:
            if beam.continuation is not None or self.text is None:
                raise MalformedResponse("the server has not told the token ids of the prompt")
            return self.text
        return b"[%s%s]" % (",".join(map(str, self.ids)).encode(), self.prefix(beam))


@DIALECTS.register("vllm")
class VLLM(Dialect):
    """Token ids in and out; exact."""

    name: ClassVar[str] = "vllm"
    owner: ClassVar[str | None] = "vllm"
    takes_ids: ClassVar[bool] = True
    shape = "legacy"
    can_stream: ClassVar[bool] = True

    def __init__(self, model: str, api: Api, limits: Limits, stream: bool = False) -> None:
        super().__init__(model, api, limits, stream)
        self._fields = Negotiation((_TOKEN_IDS, *COMPLETION_FIELDS, *plain_fields(_PLAIN)))
        self._next_tokens = NextTokens(model)

    def configure(self) -> Exchange[int | None]:
        """Its version; how many sequences it works on is not told, and it queues the rest."""
        try:
            answer = yield WireRequest(path="/version", decode=decode_version, at_root=True)
        except EndpointError:
            return None
        self.server = f"vLLM {answer.version}"
        return None

    def running(self) -> Exchange[int | None]:
        """Its own gauge."""
        running: int | None = yield WireRequest(path="/metrics", decode=read_running, at_root=True)
        return running

    def prepare(self, prompt: Prompt) -> Exchange[PreparedPrompt]:
        """A chat becomes token ids by the server's own template; a string stays one."""
        prefix = PrefixEncoder(ids_of)
        messages = self._messages_of(prompt)
        if messages is None:
            text = b'"%s"' % encode_string(prompt.text or "")
            return PreparedPrompt(text=text, ids=None, prefix=prefix)
        fields = {"model": self.model, "messages": messages, "add_generation_prompt": True}
        body = msgspec.json.encode(fields)
        answer = yield WireRequest(
            path="/tokenize", decode=decode_tokenized, body=body, at_root=True
        )
        self.context_tokens = answer.max_model_len
        if not answer.tokens:
            raise MalformedResponse("the chat template makes no tokens of these messages")
        return PreparedPrompt(text=None, ids=answer.tokens, prefix=prefix)

    def prompt_length(self, prepared: PreparedPrompt) -> int:
        """The number of its ids; of a text whose ids are not known yet, its bytes."""
        return max_tokens_of(prepared.text or b"") if prepared.ids is None else len(prepared.ids)

    def sample(self, prepared: PreparedPrompt, request: SampleRequest) -> Exchange[Answer]:
        """One request, or a few while the server's limits are being learnt, and the repairs."""
        completion, n = yield from self._negotiate(
            request,
            request.top_logprobs,
            self._fields,
            lambda n, top: self._values(request, n, top),
            lambda fields, n: self._request(prepared, request, fields, n),
        )
        choices: list[Choice] = sorted(completion.choices, key=lambda choice: choice.index)
        check_choices(choices, n)
        if not choices:
            raise MalformedResponse("the answer holds no choices")
        if len(choices) < n:
            self.limits.fewer(len(choices))
        if prepared.ids is None:
            prepared.ids = choices[0].prompt_token_ids or None
        continuations: list[Continuation] = []
        spent: list[int] = []  # the prompt tokens of each repair
        known: list[str] = []  # what stands before the blocks, once somebody needs it
        for choice in choices:
            continuation = yield from self._continuation(choice, prepared, request, spent, known)
            continuations.append(continuation)
        counted = completion.usage.prompt_tokens if completion.usage else None
        if self._fields.inexact:
            continuations = [attrs.evolve(block, exact=False) for block in continuations]
        return Answer(
            continuations=tuple(continuations),
            prompt_tokens=max(0, counted or 0) + sum(spent),
        )

    def enumerate(self, prepared: PreparedPrompt, request: SampleRequest) -> Exchange[Answer]:
        """The alternatives of one sampled token, by their ids."""
        shown = max(request.n, request.top_logprobs)
        one = attrs.evolve(
            request, n=1, max_tokens=1, top_logprobs=shown, temperature=1.0, enumerate=False
        )
        completion, _ = yield from self._negotiate(
            one,
            shown,
            self._fields,
            lambda n, top: self._values(one, n, top),
            lambda fields, n: self._request(prepared, one, fields | ALTERNATIVES_BY_ID, n),
        )
        choice: Choice | None = next(iter(completion.choices), None)
        if choice is None:
            raise MalformedResponse("the response holds no choices")
        if prepared.ids is None:
            prepared.ids = choice.prompt_token_ids or None
        before = last_ids(prepared.ids or [], request.beam)
        blocks, asked = yield from self._next_tokens.blocks(choice, before, request)
        counted = completion.usage.prompt_tokens if completion.usage else None
        return Answer(
            continuations=blocks,
            prompt_tokens=max(0, counted or 0) + asked,
            generated_besides=1 + asked,
        )

    def _values(self, request: SampleRequest, n: int, top: int) -> dict[str, Any]:
        """The optional fields of a request, by our names; None: not sent."""
        return {
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": 1,
            "n": n if n > 1 else None,
            "seed": request.seed,
            "logprobs": top,
            "return_token_ids": True,
            "stream_options": {"include_usage": True} if self.stream else None,
            **_PLAIN,
        }

    def _request(
        self, prepared: PreparedPrompt, request: SampleRequest, spelt: dict[str, Any], n: int
    ) -> WireRequest[Any]:
        fields: dict[str, Any] = {"model": self.model, **spelt}
        if self.stream:
            fields["stream"] = True
        return WireRequest(
            path="/completions",
            decode=decoder(stream=self.stream, n=n),
            body=splice("prompt", prepared.json(request.beam), fields),
            most_tokens=n * request.max_tokens,
            alternatives=request.top_logprobs,
        )

    def _continuation(
        self,
        choice: Choice,
        prepared: PreparedPrompt,
        request: SampleRequest,
        spent: list[int],
        known: list[str],
    ) -> Exchange[Continuation]:
        ids = choice.token_ids
        if ids is None:
            raise MalformedResponse(
                "the server does not tell token ids: use a newer vLLM, or dialect='openai'"
            )
        if len(ids) > request.max_tokens:
            raise MalformedResponse(too_long(len(ids), request.max_tokens))
        reason = choice.finish_reason or LENGTH
        if not ids:
            return Continuation(tokens=(), data=b"", finish_reason=reason)
        logprobs = choice.logprobs
        if logprobs is None or len(logprobs.tokens) != len(ids):
            raise LogprobsUnavailable("the server sent tokens without log-probabilities")
        given = logprobs.token_logprobs
        if len(given) != len(ids) or None in given:
            given = yield from self._read_again(prepared, request.beam, ids, spent)
        values = checked_logprobs(given)
        texts = logprobs.tokens
        rows = logprobs.top_logprobs or []
        checked_logprobs(max(row.values()) for row in rows if row and request.top_logprobs)

        def make(place: int) -> Token:
            shown = best_of(rows[place] if place < len(rows) else None, request.top_logprobs)
            return Token(texts[place], values[place], ids[place], None, shown)

        pieces = [text.encode("utf-8", "replace") for text in texts]
        sampled = SampledTokens(pieces, [*ids], values, make)
        data = choice.text.encode("utf-8", "replace")
        ended = reason == STOP and choice.stop_reason is None
        spelt = sampled.spell(data, ended=ended)
        if not spelt or last_text(request.beam) == "" or (reason == LENGTH and not texts[-1]):
            visible = ids[:-1] if ended else ids
            before = last_ids(prepared.ids or [], request.beam)
            if not known:
                known.append((yield from detokenize(self.model, before)))
            text = yield from detokenize(self.model, [*before, *visible])
            part = whole_part(known[0], text, open_ended=reason == LENGTH)
            if part is None:
                raise MalformedResponse("the detokenizer changes the text in front of a block")
            data = part
        return Continuation(
            tokens=sampled.tokens,
            data=data,
            finish_reason=reason,
            keys=sampled.keys,
            logprob=sum(values),
        )

    def _read_again(
        self, prepared: PreparedPrompt, beam: Beam, ids: list[int], spent: list[int]
    ) -> Exchange[list[float | None]]:
        """The log-probabilities of a block as a part of a prompt."""
        if prepared.ids is None:
            raise LogprobsUnavailable("the server sent tokens without log-probabilities")
        whole = b"%s,%s]" % (prepared.json(beam)[:-1], ",".join(map(str, ids)).encode())
        fields = {"model": self.model, "max_tokens": 0, "echo": True, "logprobs": 0}
        answer = yield WireRequest(
            path="/completions",
            decode=decoder(stream=False),
            body=splice("prompt", whole, fields),
        )
        choice: Choice | None = next(iter(answer.choices), None)
        if choice is None or choice.logprobs is None:
            raise LogprobsUnavailable("the server has no log-probabilities of a prompt")
        spent.append(max(0, (answer.usage and answer.usage.prompt_tokens) or 0))
        given = choice.logprobs.token_logprobs[-len(ids) :]
        if len(given) < len(ids):
            raise LogprobsUnavailable("the server has no log-probabilities of a prompt")
        return given
