"""llama.cpp's own completion call: token ids in and out.

A string prompt goes out as it is, a chat through ``/apply-template`` and ``/tokenize``, and behind it
the beam as token ids, so that a block is continued from the very tokens that were sampled. The
server leaves out the log-probabilities of tokens inside a character that is not complete; they are
asked for again (`llama_cpp_repair`). A stream does not even show such tokens: a block that has some
is asked for once more without one, by the same seed. So is a stream of too few choices: it may have
been cut, for nothing marks its end.

Recorded: b11549.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, ClassVar

import attrs
import msgspec

from trio_beam.core.block import Continuation, Token, too_long
from trio_beam.core.language_model import SampleRequest
from trio_beam.core.prompt import Prompt
from trio_beam.dialects.common.detokenize import ids_of
from trio_beam.dialects.common.dialect import (
    DIALECTS,
    Answer,
    Api,
    Dialect,
    Exchange,
    WireRequest,
    check_choices,
    one_token_blocks,
)
from trio_beam.dialects.common.encoding import PrefixEncoder, encode_string, max_tokens_of, splice
from trio_beam.dialects.common.limits import Limits
from trio_beam.dialects.common.negotiation import Negotiation
from trio_beam.dialects.common.next_tokens import Candidate, Endings
from trio_beam.dialects.common.sampled_tokens import SampledTokens, checked_logprobs
from trio_beam.dialects.common.temperature import SHOWN, fewer_shown, reported
from trio_beam.dialects.llama_cpp_repair import Repairer, check_entries
from trio_beam.dialects.llama_cpp_wire import (
    FIELDS,
    SAMPLING,
    STREAM_FIELDS,
    EntryWithTop,
    Native,
    SampledNative,
    decode_props,
    decode_sampled,
    decode_slots,
    decode_template,
    decode_tokens,
    decoder,
    reason_of,
    token_of,
)
from trio_beam.errors import BudgetExhausted, EndpointError, MalformedResponse

#: Seeds that are made up here.
_SEEDS = 1 << 31


@attrs.frozen(kw_only=True, eq=False)
class PreparedPrompt:
    """A prompt as the first elements of a JSON array: a string, or token ids."""

    json: bytes
    prefix: PrefixEncoder


@DIALECTS.register("llama_cpp")
class LlamaCpp(Dialect):
    """Token ids in and out; exact."""

    name: ClassVar[str] = "llama_cpp"
    owner: ClassVar[str | None] = "llamacpp"
    takes_ids: ClassVar[bool] = True
    shape = "native"
    can_stream: ClassVar[bool] = True
    notes = (
        "while it works on other requests, llama.cpp notices a closed connection only with stream=True",
        "llama.cpp's cache of prompts may answer from a wrong context: --cache-ram 0, or max_n=1",
    )

    def __init__(self, model: str, api: Api, limits: Limits, stream: bool = False) -> None:
        super().__init__(model, api, limits, stream)
        self._repairer = Repairer(model)
        self._endings = Endings(self._repairer.ends)
        self._fields = Negotiation(())

    def configure(self) -> Exchange[int | None]:
        """The number of slots, which is also the most choices a request may ask for."""
        try:
            props = yield WireRequest(path="/props", decode=decode_props, at_root=True)
        except EndpointError:
            return None  # it can be switched off; the limit is then learnt from a refusal
        self.server = f"llama.cpp {props.build_info}" if props.build_info else "llama.cpp"
        self.context_tokens = props.default_generation_settings.n_ctx
        slots: int | None = props.total_slots
        if slots is None or slots < 1:
            return None
        if self.limits.n is None:
            self.limits.n = slots
        return slots

    def running(self) -> Exchange[int | None]:
        """The slots that are busy."""
        slots = yield WireRequest(path="/slots", decode=decode_slots, at_root=True)
        busy: int = sum(slot.is_processing for slot in slots)
        return busy

    def prepare(self, prompt: Prompt) -> Exchange[PreparedPrompt]:
        """Chat messages become token ids by the server's own template; a string stays one."""
        prefix = PrefixEncoder(ids_of)
        messages = self._messages_of(prompt)
        if messages is None:
            text = encode_string(prompt.text or "")
            return PreparedPrompt(json=b'"%s"' % text, prefix=prefix)
        body = msgspec.json.encode({"messages": messages})
        templated = yield WireRequest(
            path="/apply-template", decode=decode_template, body=body, at_root=True
        )
        ids = yield from self._tokenize(templated.prompt)
        if not ids:
            raise MalformedResponse("the chat template makes no tokens of these messages")
        return PreparedPrompt(json=",".join(map(str, ids)).encode(), prefix=prefix)

    def prompt_length(self, prepared: PreparedPrompt) -> int:
        """The number of its ids; of a text, its bytes."""
        is_text = prepared.json.startswith(b'"')
        return max_tokens_of(prepared.json) if is_text else prepared.json.count(b",") + 1

    def sample(self, prepared: PreparedPrompt, request: SampleRequest) -> Exchange[Answer]:
        """One request, or a few while the limit on choices is being learnt, and the repairs."""
        prompt = prepared.json + prepared.prefix(request.beam)
        if self.stream and request.seed is None:
            request = attrs.evolve(request, seed=random.randrange(_SEEDS))
        lost: list[Native] = []
        natives = yield from self._natives(prompt, request, self.stream)
        fewer = len(natives) < self.limits.cap_n(request.n)
        if self.stream and (fewer or any(native.missing for native in natives)):
            lost = natives
            natives = yield from self._natives(prompt, request, False)
        continuations: list[Continuation] = []
        spent: list[int] = []  # the prompt tokens of each repair
        for native in natives:
            if len(native.tokens) > request.max_tokens:  # else each of them might be repaired
                raise MalformedResponse(too_long(len(native.tokens), request.max_tokens))
            if len(native.completion_probabilities) == len(native.tokens):
                continuations.append(self._whole(native, request))
            else:
                tokens = yield from self._repairer.tokens(
                    native, prompt, request.top_logprobs, spent
                )
                continuations.append(
                    Continuation(
                        tokens=tuple(tokens),
                        data=b"".join([token.bytes or b"" for token in tokens]),
                        finish_reason=reason_of(native, request.max_tokens),
                    )
                )
        # Every choice counts the same prompt; it was evaluated once.
        evaluated = [max(0, some[0].tokens_evaluated) for some in (natives, lost) if some]
        return Answer(
            continuations=tuple(continuations),
            prompt_tokens=sum(evaluated) + sum(spent),
            generated_besides=len(spent) + sum(len(one.tokens) + one.missing for one in lost),
        )

    def sample_with_proposal_logprobs(
        self, prepared: PreparedPrompt, request: SampleRequest
    ) -> Exchange[Answer]:
        """As the server reports it: for the same seed once more, with the probabilities after all samplers.

        Where a token was not the same then, or a part of a character, it is bounded, and inexact.
        """
        if request.seed is None:
            request = attrs.evolve(request, seed=random.randrange(_SEEDS))
        shown = max(request.top_logprobs, SHOWN)
        answer = yield from self.sample(prepared, attrs.evolve(request, top_logprobs=shown))
        blocks = answer.continuations
        prompt = prepared.json + prepared.prefix(request.beam)
        try:
            again = yield from self._sampled(prompt, attrs.evolve(request, n=len(blocks)))
        except (EndpointError, BudgetExhausted):
            again = {}  # the samples are there, and were paid for
        weighed: list[Continuation] = []
        for place, block in enumerate(blocks):
            second = again.get(place, SampledNative([]))
            probabilities = [entry.prob for entry in second.completion_probabilities]
            values, whole = reported(block, second.tokens, probabilities, request.temperature)
            less = fewer_shown(block, request.top_logprobs)
            weighed.append(attrs.evolve(less, proposal=values, exact=block.exact and whole))
        besides = sum(len(second.tokens) for second in again.values())
        return attrs.evolve(
            answer,
            continuations=tuple(weighed),
            prompt_tokens=answer.prompt_tokens
            + max((second.tokens_evaluated for second in again.values()), default=0),
            generated_besides=answer.generated_besides + besides,
        )

    def _sampled(self, prompt: bytes, request: SampleRequest) -> Exchange[dict[int, SampledNative]]:
        """The same continuations by their index, with the probabilities that they were sampled with."""
        wire = self._request(prompt, request, request.n, False, post_sampling_probs=True)
        answer = yield attrs.evolve(wire, decode=decode_sampled)
        natives = answer if isinstance(answer, list) else [answer]
        return {native.index: native for native in natives}

    def enumerate(self, prepared: PreparedPrompt, request: SampleRequest) -> Exchange[Answer]:
        """The next tokens, read beside one that is forced: a sampled one may be a part of a character."""
        spent: list[int] = []
        prompt = prepared.json + prepared.prefix(request.beam)
        shown = max(request.n, request.top_logprobs)
        tokens = yield from self._repairer.next_tokens(prompt, shown, spent)
        best = tuple((tokens or [])[: request.top_logprobs])
        found = [token._replace(top=best) for token in tokens or []]
        going, asked = yield from self._control_tokens(found)
        return Answer(
            continuations=one_token_blocks(found, request.n, exact=True, going=going),
            prompt_tokens=sum(spent) + asked,
            generated_besides=len(spent) + asked,
        )

    def _control_tokens(self, tokens: Sequence[Token]) -> Exchange[tuple[set[int], int]]:
        """Which tokens without text do not end the text all the same, and how many had to be forced."""
        silent = [token for token in tokens if not token.data and token.id is not None]
        asked: list[int] = []
        candidates = [Candidate(token.id or 0, token.logprob, "", b"") for token in silent]
        ends = yield from self._endings.of(candidates, asked)
        return {one.id for one, end in zip(candidates, ends, strict=True) if not end}, len(asked)

    def _natives(
        self, prompt: bytes, request: SampleRequest, stream: bool
    ) -> Exchange[list[Native]]:
        """The continuations as they come, at least one."""
        # It has no limit on alternatives; 1 is a number that cannot be lowered.
        answer, n = yield from self._negotiate(
            request,
            1,
            self._fields,
            lambda n, _: {"n": n},
            lambda _, n: self._request(prompt, request, n, stream),
        )
        natives: list[Native] = answer if isinstance(answer, list) else [answer]
        natives = sorted(check_choices(natives, n), key=lambda native: native.index)
        if not natives:
            raise MalformedResponse("the answer holds no continuation")
        if len(natives) < n and not stream:  # nothing ends a stream: it may have been cut
            self.limits.fewer(len(natives))
        return natives

    def _request(
        self, prompt: bytes, request: SampleRequest, n: int, stream: bool, **more: bool
    ) -> WireRequest[Any]:
        fields: dict[str, Any] = {
            "model": self.model,
            "n_predict": request.max_tokens,
            "temperature": request.temperature,
            "n_probs": max(1, request.top_logprobs),
            "return_tokens": True,
            "response_fields": STREAM_FIELDS if stream else FIELDS,
            **SAMPLING,
            **more,
        }
        if n > 1:
            fields["n_cmpl"] = n
        if request.seed is not None:
            fields["seed"] = request.seed
        if stream:
            fields["stream"] = True
        return WireRequest(
            path="/completion",
            decode=decoder(top=request.top_logprobs > 0, stream=stream),
            body=splice("prompt", b"[%s]" % prompt, fields),
            at_root=True,
            most_tokens=n * request.max_tokens,
            alternatives=max(1, request.top_logprobs),
        )

    def _tokenize(self, text: str) -> Exchange[list[int]]:
        fields = {"content": text, "add_special": True, "parse_special": True}
        body = msgspec.json.encode(fields)
        answer = yield WireRequest(path="/tokenize", decode=decode_tokens, body=body, at_root=True)
        ids: list[int] = answer.tokens
        return ids

    def _whole(self, native: Native, request: SampleRequest) -> Continuation:
        """A block of which nothing was left out."""
        check_entries(native)
        entries, top = native.completion_probabilities, request.top_logprobs
        values = checked_logprobs(entry.logprob for entry in entries)
        for entry in entries if top else ():
            assert isinstance(entry, EntryWithTop)
            checked_logprobs(other.logprob for other in entry.top_logprobs[:top])
        if self._repairer.plain is None and entries:
            self._repairer.note(token_of(entries[0], (), 0))
        sampled = SampledTokens(
            [bytes(entry.bytes) for entry in entries],
            [*native.tokens],
            values,
            lambda place: token_of(entries[place], (), top),
        )
        return Continuation(
            tokens=sampled.tokens,
            data=b"".join(sampled.pieces),
            finish_reason=reason_of(native, request.max_tokens),
            keys=sampled.keys,
            logprob=sum(values),
        )
