"""vLLM's completions call: token ids in and out.

A string is sent verbatim in the first round; the response contains its token ids, and from then on
prompt and beam are sent as ids. ``/tokenize`` renders a chat to ids by the server's template. What a
block lacks is requested again (`vllm_blocks`).

vLLM omits a character from the text until it is complete and shows the tokens inside it as "". Where a
block begins or ends inside a character, its ids are detokenized together with some before them.

Recorded: 0.32.0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import attrs
import msgspec

from trio_beam.core.block import Continuation, Token
from trio_beam.core.extra_body import format_fields
from trio_beam.core.language_model import SampleRequest
from trio_beam.core.prompt import Prompt
from trio_beam.core.reasoning import opening_tag
from trio_beam.dialects.common.constraints import constraint_of, template_arguments
from trio_beam.dialects.common.detokenize import ids_of, last_ids
from trio_beam.dialects.common.dialect import DIALECTS, Api, check_choices
from trio_beam.dialects.common.encoding import (
    PrefixEncoder,
    count_in,
    encode_string,
    max_tokens_of,
    splice,
)
from trio_beam.dialects.common.exchange import Exchange, ExchangeResult, WireRequest, abandoned
from trio_beam.dialects.common.labels import LabelScoringDialect, LabelTokens
from trio_beam.dialects.common.limits import Limits
from trio_beam.dialects.common.negotiation import VALUE, Negotiation, OptionalField, Way
from trio_beam.dialects.common.usage_counts import cached_tokens, charged_tokens
from trio_beam.dialects.common.watch import watching, whole
from trio_beam.dialects.openai_fields import COMPLETION_FIELDS, plain_fields, values_of
from trio_beam.dialects.vllm_blocks import block_of, labelled_block
from trio_beam.dialects.vllm_next_tokens import ALTERNATIVES_BY_ID, NextTokens, tokenize
from trio_beam.dialects.vllm_prompt import PreparedPrompt
from trio_beam.dialects.vllm_texts import force
from trio_beam.dialects.vllm_wire import (
    Choice,
    decode_tokenized,
    decode_version,
    decoder,
    logprobs_in_chunk,
    read_running,
)
from trio_beam.errors import EndpointError, MalformedResponse

#: Overrides the model's generation_config.json: only the temperature may shape the samples.
_PLAIN: dict[str, Any] = {"top_k": -1, "min_p": 0, "repetition_penalty": 1}
_OWN_CONSTRAINT = re.compile("guided_|response_format$|structured_outputs$")
_TOKEN_IDS = OptionalField(
    name="return_token_ids", ways=(Way(fields={"return_token_ids": VALUE}), Way(fields={}))
)


@DIALECTS.register("vllm")
class VLLM(LabelScoringDialect):
    """Token ids in and out; exact."""

    name: ClassVar[str] = "vllm"
    owner: ClassVar[str | None] = "vllm"
    takes_ids: ClassVar[bool] = True
    openai_plain: ClassVar[Mapping[str, Any]] = _PLAIN
    shape = "legacy"
    can_stream: ClassVar[bool] = True

    def __init__(self, model: str, api: Api, limits: Limits, stream: bool = False) -> None:
        super().__init__(model, api, limits, stream)
        self._fields = Negotiation((_TOKEN_IDS, *COMPLETION_FIELDS, *plain_fields(_PLAIN)))
        self._next_tokens = NextTokens(model)
        self._labels = LabelTokens(partial(tokenize, model))

    def configure(self) -> Exchange[int | None]:
        """Query the version; vLLM does not report its number of slots, and queues excess requests."""
        try:
            response = yield WireRequest(path="/version", decode=decode_version, at_root=True)
        except EndpointError:
            return None
        self.server = f"vLLM {response.version}"
        return None

    def running(self) -> Exchange[int | None]:
        """Read the server's gauge."""
        running: int | None = yield WireRequest(path="/metrics", decode=read_running, at_root=True)
        return running

    def prepare(self, prompt: Prompt) -> Exchange[PreparedPrompt]:
        """Render a chat to token ids by the server's template; keep a string."""
        prefix = PrefixEncoder(ids_of)
        constraint = self._constraint(prompt)
        messages = self._messages_of(prompt)
        if messages is None:
            text = b'"%s"' % encode_string(prompt.text or "")
            return PreparedPrompt(text=text, ids=None, prefix=prefix, constraint=constraint)
        fields = {
            "model": self.model,
            "messages": messages,
            "add_generation_prompt": True,
            "return_token_strs": True,  # they tell whether the template opens the thinking
        }
        template = template_arguments(prompt.extra_body)
        response = yield WireRequest(
            path="/tokenize",
            decode=decode_tokenized,
            body=msgspec.json.encode(fields | template),
            at_root=True,
            placed=frozenset(template),
        )
        self.context_tokens = response.max_model_len
        if not response.tokens:
            raise MalformedResponse("the chat template renders these messages to no tokens")
        opening = None if response.end is None else opening_tag(response.end)
        return PreparedPrompt(
            text=None,
            ids=response.tokens,
            prefix=prefix,
            constraint=constraint,
            opening=opening,
        )

    def _constraint(self, prompt: Prompt) -> dict[str, Any]:
        """Return a constraint in vLLM's own fields; the former ones are sent too, for former versions."""
        constraint = constraint_of(prompt.extra_body)
        if constraint is None:
            return {}
        given = format_fields(prompt.extra_body)
        own = {name: value for name, value in given.items() if _OWN_CONSTRAINT.match(name)}
        if constraint.field not in ("response_format", "structured_outputs"):
            own["structured_outputs"] = {constraint.kind: constraint.value}
        return own

    def opens_thinking(self, prepared: PreparedPrompt) -> str | None:
        """Return what the rendered template says; None from a server that sends no texts of tokens."""
        return prepared.opening

    def force(self, text: str) -> Exchange[Sequence[Token]]:
        """Return the model's own tokens for a text."""
        tokens = yield from force(self.model, text)
        return tokens

    def prompt_length(self, prepared: PreparedPrompt) -> int:
        """Return the number of ids, or an upper bound from the bytes of a text whose ids are unknown."""
        return max_tokens_of(prepared.text or b"") if prepared.ids is None else len(prepared.ids)

    def sample(self, prepared: PreparedPrompt, request: SampleRequest) -> Exchange[ExchangeResult]:
        """Send one request, a few more while learning the server's limits, and the repairs."""
        completion, n = yield from self._negotiate(
            request,
            request.top_logprobs,
            self._fields,
            lambda n, top: self._values(request, n, top),
            lambda fields, n: self._request(prepared, request, fields, n),
        )
        completion, is_abandoned = whole(completion)
        choices: list[Choice] = list(check_choices(completion.choices, n))
        if not choices:
            raise MalformedResponse("the response has no choices")
        if len(choices) < n:
            self.limits.reduce_n(len(choices))
        if prepared.ids is None:
            prepared.ids = choices[0].prompt_token_ids or None
        continuations: list[Continuation] = []
        spent: list[int] = []  # the prompt tokens of each repair
        known: list[str] = []  # the text before the blocks, decoded on demand
        for choice in choices:
            continuation = yield from block_of(self.model, choice, prepared, request, spent, known)
            continuations.append(continuation)
        counted = count_in(completion.usage, "prompt_tokens")
        if self._fields.inexact:
            continuations = [attrs.evolve(block, exact=False) for block in continuations]
        result = ExchangeResult(
            continuations=tuple(continuations),
            prompt_tokens=(counted or 0) + sum(spent),
            cached_tokens=cached_tokens(completion.usage),
            charged_tokens=charged_tokens(completion.usage),
        )
        return abandoned(result) if is_abandoned else result

    def enumerate(
        self, prepared: PreparedPrompt, request: SampleRequest
    ) -> Exchange[ExchangeResult]:
        """Read the alternatives of one sampled token, by id."""
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
            raise MalformedResponse("the response has no choices")
        if prepared.ids is None:
            prepared.ids = choice.prompt_token_ids or None
        before = last_ids(prepared.ids or [], request.beam)
        blocks, asked = yield from self._next_tokens.blocks(choice, before, request)
        counted = count_in(completion.usage, "prompt_tokens")
        return ExchangeResult(
            continuations=blocks,
            prompt_tokens=(counted or 0) + asked,
            extra_generated=1 + asked,
        )

    def _by_id(
        self, prepared: PreparedPrompt, request: SampleRequest, labels: Mapping[int, str]
    ) -> Exchange[ExchangeResult | None]:
        """Ask for the labels' log-probabilities, which an older vLLM ignores."""
        one = attrs.evolve(request, n=1, max_tokens=1)
        wanted = {"logprob_token_ids": list(labels), **ALTERNATIVES_BY_ID}
        completion, _ = yield from self._negotiate(
            one,
            one.top_logprobs,
            self._fields,
            lambda n, top: self._values(one, n, top),
            lambda fields, n: self._request(prepared, one, fields | wanted, n),
        )
        choice: Choice | None = next(iter(completion.choices), None)
        scored = None if choice is None else labelled_block(choice, labels)
        if scored is None:
            return None
        counted = count_in(completion.usage, "prompt_tokens")
        return ExchangeResult(continuations=(scored,), prompt_tokens=counted or 0)

    def _values(self, request: SampleRequest, n: int, top: int) -> dict[str, Any]:
        """Return the optional fields under our names; None leaves a field out."""
        values = values_of(request, n, top, stream=self._streams(request))
        values["logprobs"] = top if request.shows_tokens else None
        return values | {"return_token_ids": True, **_PLAIN}

    def _request(
        self, prepared: PreparedPrompt, request: SampleRequest, optional: dict[str, Any], n: int
    ) -> WireRequest[Any]:
        fields: dict[str, Any] = {"model": self.model, **optional, **prepared.constraint}
        stream = self._streams(request)
        if stream:
            fields["stream"] = True
        if not request.shows_tokens:
            fields["skip_special_tokens"] = False  # the text has what the tokens would show
        if request.delimiters:
            # Only the text is cut there: ids and log-probabilities have the whole token.
            fields |= {"stop": request.delimiters, "include_stop_str_in_output": True}
        return WireRequest(
            path="/completions",
            decode=decoder(stream=stream, n=n),
            body=splice("prompt", prepared.json(request.beam), fields),
            max_tokens=n * request.max_tokens,
            alternatives=request.top_logprobs,
            watch=watching(request.confidence, logprobs_in_chunk),
        )
