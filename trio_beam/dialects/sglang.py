"""SGLang's native generate call: token ids in and out.

The server's ``/tokenize`` turns a prompt into token ids, a chat by its own template; the beam's ids
follow. The call appeared in autumn 2025 for strings (pull request 9545) and by summer 2026 for messages
(29444 mentions it).

Log-probabilities of sampled tokens are scaled by the temperature, unless the server was started with
``SGLANG_RETURN_ORIGINAL_LOGPROB``, which a client cannot see. Those of a prompt are not. At a
temperature other than 1 and 0 (which is greedy and reported as at 1), the blocks are therefore sent
again as part of the prompt and read from there (`sglang_repair`): one more request, and exact.

The server decodes text with the tokens before it, but not partial characters: where a block may begin
or end inside a character, its ids are detokenized together with some before them.

Seeds take effect only with ``--enable-deterministic-inference``. Such a server uses the same seed (42)
for every request without one, so a search without a seed finds the same continuation everywhere.

From documentation: docs.sglang.io, "Sampling Parameters", "SGLang Native APIs" and "Deterministic
Inference"; and source, as of the summer of 2026: ``managers/io_struct.py``,
``managers/tokenizer_manager.py``, ``managers/detokenizer_manager.py``, ``layers/sampler.py``,
``sampling/sampling_params.py``, ``entrypoints/openai/serving_tokenize.py``. Not run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import attrs
import msgspec

from trio_beam.core.beam import Beam
from trio_beam.core.block import Token
from trio_beam.core.language_model import SampleRequest
from trio_beam.core.prompt import Prompt
from trio_beam.core.reasoning import opening_tag
from trio_beam.dialects.common.constraints import Constraint, template_arguments
from trio_beam.dialects.common.detokenize import (
    forced_of,
    ids_of,
    last_ids,
)
from trio_beam.dialects.common.dialect import DIALECTS, Api, check_choices
from trio_beam.dialects.common.encoding import PrefixEncoder, splice
from trio_beam.dialects.common.exchange import Exchange, ExchangeResult, WireRequest
from trio_beam.dialects.common.labels import LabelScoringDialect, LabelTokens, labelled
from trio_beam.dialects.common.limits import Limits
from trio_beam.dialects.common.negotiation import VALUE, Negotiation, OptionalField, Way
from trio_beam.dialects.sglang_blocks import block_of, continuation_of
from trio_beam.dialects.sglang_next_tokens import NextTokens, detokenize
from trio_beam.dialects.sglang_repair import score_as_prompt, spell
from trio_beam.dialects.sglang_wire import (
    PLAIN,
    Generated,
    Tokenized,
    decode,
    decode_tokens,
    request_fields,
)
from trio_beam.errors import (
    ContextOverflow,
    MalformedResponse,
    RequestRejected,
)

_TOP_LOGPROBS = OptionalField(
    name="top_logprobs", ways=(Way(fields={"top_logprobs": VALUE}),), is_limit=True
)


@attrs.frozen(kw_only=True, eq=False)
class PreparedPrompt:
    """A prompt as token ids, also in JSON."""

    ids: Sequence[int]
    json: bytes
    prefix: PrefixEncoder
    constraint: Mapping[str, Any]
    opening: str | None = None


@DIALECTS.register("sglang")
class SGLang(LabelScoringDialect):
    """Token ids in and out; exact."""

    name: ClassVar[str] = "sglang"
    owner: ClassVar[str | None] = "sglang"
    takes_ids: ClassVar[bool] = True
    openai_plain: ClassVar[Mapping[str, Any]] = {"top_k": -1, "min_p": 0, "repetition_penalty": 1}
    shape = "native"

    def __init__(self, model: str, api: Api, limits: Limits, stream: bool = False) -> None:
        super().__init__(model, api, limits, stream)
        self._negotiation = Negotiation((_TOP_LOGPROBS,))
        self._next_tokens = NextTokens(model)
        self._labels = LabelTokens(self._tokenize)
        self._sends_ids = True

    def prepare(self, prompt: Prompt) -> Exchange[PreparedPrompt]:
        """Have the server tokenize the prompt.

        Raises:
            RequestRejected: the server is too old.
        """
        constraint = self._constraint(prompt)
        messages = self._messages_of(prompt)
        template = {} if messages is None else template_arguments(prompt.extra_body)
        what = {"prompt": prompt.text} if messages is None else {"messages": messages}
        body = msgspec.json.encode({"model": self.model, **what, **template})
        try:
            response: Tokenized = yield WireRequest(
                path="/tokenize",
                decode=decode_tokens,
                body=body,
                at_root=True,
                placed=frozenset(template),
            )
        except ContextOverflow:
            raise
        except RequestRejected as refusal:
            without_messages = messages is not None and "Field required" in refusal.message
            if refusal.status != 404 and not without_messages:
                raise
            what_not = "no /tokenize" if messages is None else "no /tokenize for chat messages"
            message = f"this SGLang has {what_not}; use a newer one, or dialect='openai'"
            raise RequestRejected(
                f"{message} ({refusal.message})",
                status=refusal.status,
                url=refusal.url,
                attempts=refusal.attempts,
            ) from refusal
        if not response.tokens:
            raise MalformedResponse("the tokenizer turns this prompt into no tokens")
        opening: str | None = None
        if messages is not None:
            try:
                (end,) = yield from detokenize(self.model, [last_ids(response.tokens, Beam())])
            except RequestRejected:  # an older server: then only the text can tell
                pass
            else:
                opening = opening_tag(end)
        return PreparedPrompt(
            ids=response.tokens,
            json=",".join(map(str, response.tokens)).encode(),
            prefix=PrefixEncoder(ids_of),
            constraint=constraint,
            opening=opening,
        )

    def _constrain(self, constraint: Constraint) -> dict[str, Any]:
        value = constraint.value
        match constraint.kind:
            case "json":
                return {"json_schema": json.dumps(value)}
            case "grammar":
                return {"ebnf": value}
            case "choice":
                return {"regex": "|".join(f"({re.escape(str(one))})" for one in value)}
            case "structural_tag" if not isinstance(value, str):
                return {"structural_tag": json.dumps(value)}
            case kind:
                return {kind: value}

    def opens_thinking(self, prepared: PreparedPrompt) -> str | None:
        """Return what the end of the rendered template says."""
        return prepared.opening

    def force(self, text: str) -> Exchange[Sequence[Token]]:
        """Return the model's own tokens for a text."""
        fields = {"model": self.model, "prompt": text, "add_special_tokens": False}
        body = msgspec.json.encode(fields)
        response: Tokenized = yield WireRequest(
            path="/tokenize", decode=decode_tokens, body=body, at_root=True
        )
        ids = response.tokens
        lists = [ids[:count] for count in range(1, len(ids))]
        decoded = (yield from detokenize(self.model, lists)) if lists else []
        return forced_of(text, ids, decoded)

    def prompt_length(self, prepared: PreparedPrompt) -> int:
        """Return the number of ids."""
        return len(prepared.ids)

    def sample(self, prepared: PreparedPrompt, request: SampleRequest) -> Exchange[ExchangeResult]:
        """Send one request, and up to two more for log-probabilities and partial characters."""
        if not request.shows_tokens and not self._sends_ids:
            request = attrs.evolve(request, token_texts=True)
        prompt = prepared.json + prepared.prefix(request.beam)
        response, n = yield from self._negotiate(
            request,
            request.top_logprobs,
            self._negotiation,
            lambda _, top: {"top_logprobs": top},
            lambda fields, n: self._request(
                prompt, request, n, fields["top_logprobs"], prepared.constraint
            ),
        )
        generated: list[Generated] = response if isinstance(response, list) else [response]
        check_choices(generated, n)
        if not generated:
            raise MalformedResponse("the response has no continuation")
        if len(generated) < n:
            self.limits.reduce_n(len(generated))
        if not request.shows_tokens and any(one.output_ids is None for one in generated):
            # An older server: ids come with log-probabilities only.
            self._sends_ids = False
            again = yield from self.sample(prepared, request)
            lost = sum(one.meta_info.completion_tokens or 0 for one in generated)
            return attrs.evolve(again, extra_generated=again.extra_generated + lost)
        blocks = [block_of(one, request) for one in generated]
        prompt_tokens = max(0, generated[0].meta_info.prompt_tokens)
        if request.logprobs and request.temperature not in (0, 1):
            prompt_tokens += yield from score_as_prompt(
                self.model,
                self.limits,
                prompt,
                len(prepared.ids) + request.beam.length,
                request,
                blocks,
            )
        yield from spell(self.model, prepared.ids, request.beam, blocks)
        return ExchangeResult(
            continuations=tuple(continuation_of(block, request) for block in blocks),
            prompt_tokens=prompt_tokens,
            cached_tokens=generated[0].meta_info.cached_tokens,
        )

    def enumerate(
        self, prepared: PreparedPrompt, request: SampleRequest
    ) -> Exchange[ExchangeResult]:
        """Read the alternatives of one sampled token, each decoded after the tokens before it."""
        one = attrs.evolve(request, n=1, max_tokens=1, temperature=1.0, enumerate=False)
        prompt = prepared.json + prepared.prefix(request.beam)
        response, _ = yield from self._negotiate(
            one,
            max(request.n, request.top_logprobs),
            self._negotiation,
            lambda _, top: {"top_logprobs": top},
            lambda fields, n: self._request(prompt, one, n, fields["top_logprobs"], {}),
        )
        generated: Generated = response[0] if isinstance(response, list) else response
        before = last_ids(prepared.ids, request.beam)
        blocks, asked = yield from self._next_tokens.blocks(generated, before, request)
        return ExchangeResult(
            continuations=blocks,
            prompt_tokens=max(0, generated.meta_info.prompt_tokens) + asked,
            extra_generated=1 + asked,
        )

    def _by_id(
        self, prepared: PreparedPrompt, request: SampleRequest, labels: Mapping[int, str]
    ) -> Exchange[ExchangeResult | None]:
        one = attrs.evolve(request, n=1, max_tokens=1, top_logprobs=0)
        prompt = prepared.json + prepared.prefix(one.beam)
        response, _ = yield from self._negotiate(
            one,
            0,
            self._negotiation,
            lambda _, top: {"top_logprobs": top},
            lambda _, n: self._request(prompt, one, n, 0, {}, list(labels)),
        )
        generated: Generated = response[0] if isinstance(response, list) else response
        block = block_of(generated, one)
        block.data = generated.text.encode("utf-8", "replace")
        rows = (generated.meta_info.output_token_ids_logprobs or [None])[0] or []
        scores = {number: value for value, number, _ in rows}
        scored = labelled(continuation_of(block, one), scores, labels)
        if scored is None:
            return None
        prompt_tokens = max(0, generated.meta_info.prompt_tokens)
        return ExchangeResult(continuations=(scored,), prompt_tokens=prompt_tokens)

    def _tokenize(self, text: str) -> Exchange[Sequence[int]]:
        body = msgspec.json.encode({"model": self.model, "prompt": text})
        response: Tokenized = yield WireRequest(
            path="/tokenize", decode=decode_tokens, body=body, at_root=True
        )
        return response.tokens

    def _request(
        self,
        prompt: bytes,
        request: SampleRequest,
        n: int,
        top: int,
        constraint: Mapping[str, Any],
        labels: Sequence[int] = (),
    ) -> WireRequest[Any]:
        sampling: dict[str, Any] = {
            "max_new_tokens": request.max_tokens,
            "temperature": request.temperature,
            **PLAIN,
            **constraint,
        }
        ids = b"[%s]" % prompt
        each: Any = sampling
        if request.seed is not None and n > 1:
            # `n` would use the same seed for all samples; a batch has one per sample.
            ids = b"[%s]" % b",".join([ids] * n)
            each = [{**sampling, "sampling_seed": request.seed + place} for place in range(n)]
        elif request.seed is not None:
            sampling["sampling_seed"] = request.seed
        elif n > 1:
            sampling["n"] = n
        fields = request_fields(self.model, each, top, logprobs=request.shows_tokens)
        if labels:
            fields["token_ids_logprob"] = list(labels)
        return WireRequest(
            path="/generate",
            decode=decode,
            body=splice("input_ids", ids, fields),
            at_root=True,
            max_tokens=n * request.max_tokens,
            alternatives=top,
        )
