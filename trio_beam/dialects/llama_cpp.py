"""llama.cpp's native completion call: token ids in and out.

A string prompt is sent verbatim, a chat through ``/apply-template`` and ``/tokenize``. The beam follows
as token ids, so a block continues exactly the tokens that were sampled. The server omits the
log-probabilities of tokens inside an incomplete character; they are requested again
(`llama_cpp_repair`). A stream omits such tokens altogether: a block with any is requested again with
the same seed and without a stream. So is a stream of too few choices, which may have been truncated,
since nothing marks its end.

Delimiters of steps are sent as stop strings, in a stream, where no log-probability is missing; the texts
that the server holds back for them are restored (`Repairer.spell`). What may be cancelled is streamed too,
since the server notices a closed connection only then. Where a stream has once omitted tokens, neither is
done any more, unless the user wants streams.

Recorded: b11549.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import attrs
import msgspec

from trio_beam.core.block import Continuation, Token
from trio_beam.core.language_model import SampleRequest
from trio_beam.core.prompt import Prompt
from trio_beam.core.reasoning import opening_tag
from trio_beam.dialects.common.constraints import Constraint
from trio_beam.dialects.common.detokenize import ids_of
from trio_beam.dialects.common.dialect import (
    DIALECTS,
    Api,
    Dialect,
    check_choices,
    one_token_blocks,
)
from trio_beam.dialects.common.encoding import PrefixEncoder, encode_string, max_tokens_of
from trio_beam.dialects.common.exchange import Exchange, ExchangeResult, WireRequest, abandoned
from trio_beam.dialects.common.limits import Limits
from trio_beam.dialects.common.negotiation import Negotiation
from trio_beam.dialects.common.next_tokens import Candidate, Endings
from trio_beam.dialects.common.temperature import SHOWN, limit_top, reported
from trio_beam.dialects.common.watch import whole
from trio_beam.dialects.llama_cpp_blocks import block_of
from trio_beam.dialects.llama_cpp_repair import Repairer
from trio_beam.dialects.llama_cpp_request import completion_request
from trio_beam.dialects.llama_cpp_texts import force
from trio_beam.dialects.llama_cpp_wire import (
    SAMPLING,
    Completion,
    SampledCompletion,
    decode_props,
    decode_sampled,
    decode_slots,
    decode_template,
    decode_tokens,
)
from trio_beam.errors import BudgetExhausted, EndpointError, MalformedResponse

#: Upper bound of the seeds drawn here.
_SEEDS = 1 << 31


@attrs.frozen(kw_only=True, eq=False)
class PreparedPrompt:
    """A prompt as the first elements of a JSON array: a string or token ids."""

    json: bytes
    prefix: PrefixEncoder
    opening: str | None = None
    constraint: Mapping[str, Any] = attrs.field(factory=dict)


@DIALECTS.register("llama_cpp")
class LlamaCpp(Dialect):
    """Token ids in and out; exact."""

    name: ClassVar[str] = "llama_cpp"
    owner: ClassVar[str | None] = "llamacpp"
    takes_ids: ClassVar[bool] = True
    openai_plain: ClassVar[Mapping[str, Any]] = {k: v for k, v in SAMPLING.items() if k != "top_p"}
    shape = "native"
    can_stream: ClassVar[bool] = True
    notes = (
        "llama.cpp notices a closed connection reliably only with stream=True",
        "llama.cpp's prompt cache may use a wrong context: set --cache-ram 0, or max_n=1",
    )

    def __init__(self, model: str, api: Api, limits: Limits, stream: bool = False) -> None:
        super().__init__(model, api, limits, stream)
        self._repairer = Repairer(model)
        self._endings = Endings(self._repairer.ends)
        self._fields = Negotiation(())
        self._trusts_streams = True  # no stream has omitted a token so far

    def configure(self) -> Exchange[int | None]:
        """Query the number of slots, which is also the maximum number of choices per request."""
        try:
            props = yield WireRequest(path="/props", decode=decode_props, at_root=True)
        except EndpointError:
            return None  # the call can be disabled; the limit is then learnt from a refusal
        self.server = f"llama.cpp {props.build_info}" if props.build_info else "llama.cpp"
        self.context_tokens = props.default_generation_settings.n_ctx
        slots: int | None = props.total_slots
        if slots is None or slots < 1:
            return None
        if self.limits.n is None:
            self.limits.n = slots
        return slots

    def running(self) -> Exchange[int | None]:
        """Count the busy slots."""
        slots = yield WireRequest(path="/slots", decode=decode_slots, at_root=True)
        busy: int = sum(slot.is_processing for slot in slots)
        return busy

    def prepare(self, prompt: Prompt) -> Exchange[PreparedPrompt]:
        """Render chat messages to token ids by the server's template; keep a string."""
        prefix = PrefixEncoder(ids_of)
        constraint = self._constraint(prompt)
        messages = self._messages_of(prompt)
        if messages is None:
            text = encode_string(prompt.text or "")
            return PreparedPrompt(json=b'"%s"' % text, prefix=prefix, constraint=constraint)
        body = msgspec.json.encode({"messages": messages})
        templated = yield WireRequest(
            path="/apply-template", decode=decode_template, body=body, at_root=True
        )
        ids = yield from self._tokenize(templated.prompt)
        if not ids:
            raise MalformedResponse("the chat template renders these messages to no tokens")
        json = ",".join(map(str, ids)).encode()
        return PreparedPrompt(
            json=json,
            prefix=prefix,
            opening=opening_tag(templated.prompt),
            constraint=constraint,
        )

    def _constrain(self, constraint: Constraint) -> dict[str, Any]:
        match constraint.kind:
            case "json":
                return {"json_schema": constraint.value}
            case "grammar":
                return {"grammar": constraint.value}
            case "choice":
                return {"grammar": constraint.as_grammar()}
        raise constraint.unsupported("llama.cpp", "grammar or json_schema")

    def opens_thinking(self, prepared: PreparedPrompt) -> str | None:
        """Return what the rendered template says."""
        return prepared.opening

    def force(self, text: str) -> Exchange[Sequence[Token]]:
        """Return the model's own tokens for a text."""
        tokens = yield from force(text)
        return tokens

    def prompt_length(self, prepared: PreparedPrompt) -> int:
        """Return the number of ids, or an upper bound from the bytes of a text."""
        is_text = prepared.json.startswith(b'"')
        return max_tokens_of(prepared.json) if is_text else prepared.json.count(b",") + 1

    def sample(self, prepared: PreparedPrompt, request: SampleRequest) -> Exchange[ExchangeResult]:
        """Send one request, a few more while learning the limit on choices, and the repairs."""
        prompt = prepared.json + prepared.prefix(request.beam)
        wanted = bool(request.delimiters) or request.interruptible
        stream = self._streams(request) or (wanted and self._trusts_streams)
        if stream and request.seed is None:
            request = attrs.evolve(request, seed=random.randrange(_SEEDS))
        lost: list[Completion] = []
        continuations: list[Continuation] = []
        spent: list[int] = []  # the prompt tokens of each repair
        completions, is_abandoned = yield from self._completions(
            prompt, request, stream, prepared.constraint
        )
        if (
            stream
            and not is_abandoned
            and not (yield from self._is_whole(completions, request, spent))
        ):
            self._trusts_streams = self.stream
            lost = completions
            request = attrs.evolve(request, delimiters=())
            completions, _ = yield from self._completions(
                prompt, request, False, prepared.constraint
            )
        for completion in completions:
            block = yield from block_of(self._repairer, completion, prompt, request, spent)
            continuations.append(block)
        # Every choice counts the same prompt; it was evaluated once.
        evaluated = [max(0, some[0].tokens_evaluated) for some in (completions, lost) if some]
        result = ExchangeResult(
            continuations=tuple(continuations),
            prompt_tokens=sum(evaluated) + sum(spent),
            cached_tokens=completions[0].cached if completions else None,
            extra_generated=len(spent) + sum(len(one.tokens) + one.missing for one in lost),
        )
        return abandoned(result) if is_abandoned else result

    def _is_whole(
        self, completions: list[Completion], request: SampleRequest, spent: list[int]
    ) -> Exchange[bool]:
        """Return whether a stream has all choices, tokens and texts, having restored the last."""
        fewer = len(completions) < self.limits.cap_n(request.n)
        if fewer or any(completion.missing for completion in completions):
            return False
        for completion in completions if request.delimiters else ():
            if not (yield from self._repairer.spell(completion, spent)):
                return False
        return True

    def sample_with_proposal_logprobs(
        self, prepared: PreparedPrompt, request: SampleRequest
    ) -> Exchange[ExchangeResult]:
        """Sample, then repeat the same seed to get the probabilities after all samplers.

        A token that differs in the repetition, or is part of a character, is estimated and inexact.
        """
        if request.seed is None:
            request = attrs.evolve(request, seed=random.randrange(_SEEDS))
        request = attrs.evolve(request, delimiters=())  # the repetition has no stream
        shown = max(request.top_logprobs, SHOWN)
        result = yield from self.sample(prepared, attrs.evolve(request, top_logprobs=shown))
        blocks = result.continuations
        prompt = prepared.json + prepared.prefix(request.beam)
        try:
            again = yield from self._sampled(
                prompt, attrs.evolve(request, n=len(blocks)), prepared.constraint
            )
        except (EndpointError, BudgetExhausted):
            again = {}  # keep the samples, which are paid for
        scored: list[Continuation] = []
        for place, block in enumerate(blocks):
            second = again.get(place, SampledCompletion([]))
            probabilities = [entry.prob for entry in second.completion_probabilities]
            values, whole = reported(block, second.tokens, probabilities, request.temperature)
            less = limit_top(block, request.top_logprobs)
            scored.append(attrs.evolve(less, proposal=values, exact=block.exact and whole))
        besides = sum(len(second.tokens) for second in again.values())
        return attrs.evolve(
            result,
            continuations=tuple(scored),
            prompt_tokens=result.prompt_tokens
            + max((second.tokens_evaluated for second in again.values()), default=0),
            extra_generated=result.extra_generated + besides,
        )

    def _sampled(
        self, prompt: bytes, request: SampleRequest, constraint: Mapping[str, Any]
    ) -> Exchange[dict[int, SampledCompletion]]:
        """Request the same continuations, by index, with their sampling probabilities."""
        again = {**constraint, "post_sampling_probs": True}
        wire = completion_request(self.model, prompt, request, request.n, False, again)
        response = yield attrs.evolve(wire, decode=decode_sampled)
        completions = response if isinstance(response, list) else [response]
        return {completion.index: completion for completion in completions}

    def enumerate(
        self, prepared: PreparedPrompt, request: SampleRequest
    ) -> Exchange[ExchangeResult]:
        """Read the next tokens from the alternatives of a forced token.

        A sampled token would not do: if it is part of a character, the server omits its alternatives.
        """
        spent: list[int] = []
        prompt = prepared.json + prepared.prefix(request.beam)
        shown = max(request.n, request.top_logprobs)
        tokens = yield from self._repairer.next_tokens(prompt, shown, spent)
        best = tuple((tokens or [])[: request.top_logprobs])
        found = [token._replace(top=best) for token in tokens or []]
        continuing_ids, asked = yield from self._control_tokens(found)
        return ExchangeResult(
            continuations=one_token_blocks(
                found, request.n, exact=True, continuing_ids=continuing_ids
            ),
            prompt_tokens=sum(spent) + asked,
            extra_generated=len(spent) + asked,
        )

    def _control_tokens(self, tokens: Sequence[Token]) -> Exchange[tuple[set[int], int]]:
        """Return the ids of tokens without text that do not end the text, and how many were forced."""
        silent = [token for token in tokens if not token.data and token.id is not None]
        asked: list[int] = []
        candidates = [Candidate(token.id or 0, token.logprob, "", b"") for token in silent]
        ends = yield from self._endings.of(candidates, asked)
        return {one.id for one, end in zip(candidates, ends, strict=True) if not end}, len(asked)

    def _completions(
        self, prompt: bytes, request: SampleRequest, stream: bool, constraint: Mapping[str, Any]
    ) -> Exchange[tuple[list[Completion], bool]]:
        """Request the continuations; return at least one, and whether it was given up."""
        # Alternatives are unlimited here; 1 cannot be lowered.
        response, n = yield from self._negotiate(
            request,
            1,
            self._fields,
            lambda n, _: {"n": n},
            lambda _, n: completion_request(self.model, prompt, request, n, stream, constraint),
        )
        response, is_abandoned = whole(response)
        completions: list[Completion] = response if isinstance(response, list) else [response]
        completions = sorted(check_choices(completions, n), key=lambda completion: completion.index)
        if not completions:
            raise MalformedResponse("the response has no continuation")
        if len(completions) < n and not stream:  # a stream may have been truncated
            self.limits.reduce_n(len(completions))
        return completions, is_abandoned

    def _tokenize(self, text: str) -> Exchange[list[int]]:
        fields = {"content": text, "add_special": True, "parse_special": True}
        body = msgspec.json.encode(fields)
        response = yield WireRequest(
            path="/tokenize", decode=decode_tokens, body=body, at_root=True
        )
        ids: list[int] = response.tokens
        return ids
