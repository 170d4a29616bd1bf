"""The OpenAI protocol, as hosted APIs and most servers speak it.

Text in, text out: a beam is continued by resending its text, which a server may tokenize differently
(``exact=False``). Three response shapes are supported: completions with the legacy arrays, completions
with a chat-style ``content``, and chat completions.

Recorded: vLLM 0.32, llama.cpp (b11549), llama-cpp-python 0.2.60. From documentation and public reports:
hosted APIs and gateways.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal
from weakref import WeakSet

import attrs
import msgspec

from trio_beam.core.beam import Beam
from trio_beam.core.block import LENGTH, Continuation
from trio_beam.core.extra_body import NO_FIELDS, format_fields, has_tools
from trio_beam.core.language_model import SampleRequest
from trio_beam.core.prompt import Prompt
from trio_beam.core.tool_calls import ToolCall
from trio_beam.dialects.common.dialect import DIALECTS, Api, Dialect
from trio_beam.dialects.common.encoding import (
    PrefixEncoder,
    count_in,
    encode_string,
    max_tokens_of,
    splice,
)
from trio_beam.dialects.common.exchange import Exchange, ExchangeResult, WireRequest, abandoned
from trio_beam.dialects.common.finish import is_cut, is_end
from trio_beam.dialects.common.limits import Limits
from trio_beam.dialects.common.negotiation import Negotiation
from trio_beam.dialects.common.sampled_tokens import NO_LOGPROB
from trio_beam.dialects.common.usage_counts import (
    cached_tokens,
    charged_tokens,
    reasoning_tokens,
    written_tokens,
)
from trio_beam.dialects.common.watch import watching, whole
from trio_beam.dialects.openai_blocks import continuation_of
from trio_beam.dialects.openai_chat import CONTINUATION_STYLES, ChatContinuation
from trio_beam.dialects.openai_fields import CHAT_FIELDS, COMPLETION_FIELDS, plain_fields, values_of
from trio_beam.dialects.openai_thinking import budget_values, check_budget, check_sent
from trio_beam.dialects.openai_wire import (
    AnyChoice,
    AnyCompletion,
    decoder,
    hides_thinking,
    logprobs_in_chunk,
    tokens_in,
)
from trio_beam.dialects.text_blocks import text_blocks
from trio_beam.errors import ConfigError, MalformedResponse, one_block_only


@attrs.frozen(kw_only=True, eq=False)
class PreparedPrompt:
    """A prompt in JSON, up to where the beam's text follows."""

    api: Literal["completions", "chat"]
    json: bytes
    prefix: PrefixEncoder
    format: Mapping[str, Any] = NO_FIELDS
    opening: str | None = None


@DIALECTS.register("openai")
class OpenAI(Dialect):
    """Text in, text and log-probabilities out."""

    name: ClassVar[str] = "openai"
    can_stream: ClassVar[bool] = True
    reads_tool_calls: ClassVar[bool] = True

    def __init__(
        self,
        model: str,
        api: Api,
        limits: Limits,
        stream: bool = False,
        plain: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(model, api, limits, stream)
        self.plain = self.openai_plain if plain is None else plain
        optional = plain_fields(self.plain)
        self._fields = {
            "completions": Negotiation((*COMPLETION_FIELDS, *optional)),
            "chat": Negotiation((*CHAT_FIELDS, *optional)),
        }
        #: Blocks reported as ended exactly at the length limit, which the dialect did not believe.
        self._doubted: WeakSet[Continuation] = WeakSet()
        self._continuation = ChatContinuation(model, self._fields["chat"])

    def configure(self) -> Exchange[int | None]:
        """Query nothing, since there is no call for it; note that the dialect was not named."""
        self._continuation.guessed = True
        slots = yield from super().configure()
        return slots

    def continues_chat(self) -> Exchange[bool | None]:
        """Decide by prompt tokens: a continued message adds its own token, not those of a new turn."""
        known = yield from self._continuation.find()
        return known

    def prepare(self, prompt: Prompt) -> Exchange[PreparedPrompt]:
        """Encode the prompt; sends nothing.

        Raises:
            ConfigError: the prompt is chat messages and the api is completions.
        """
        yield from ()
        if prompt.messages is not None and self.api == "completions":
            raise ConfigError(
                "api", "'chat' or 'auto' for chat messages with this dialect", self.api
            )
        messages = self._messages_of(prompt)
        prefix = PrefixEncoder(lambda beam: encode_string(beam.fragment))
        format_ = self._format(prompt)
        if messages is None:
            text = encode_string(prompt.text or "")
            return PreparedPrompt(api="completions", json=text, prefix=prefix, format=format_)
        json = msgspec.json.encode(messages)[1:-1]
        return PreparedPrompt(api="chat", json=json, prefix=prefix, format=format_)

    def _format(self, prompt: Prompt) -> Mapping[str, Any]:
        """Return the fields for grammars and tools: as the caller gave them, for a server of any kind."""
        return format_fields(prompt.extra_body)

    def prompt_length(self, prepared: PreparedPrompt) -> int:
        """Return an upper bound from its bytes; a chat template is about as long as the messages' JSON."""
        return max_tokens_of(prepared.json)

    def opens_thinking(self, prepared: PreparedPrompt) -> str | None:
        """Return what the text of the prompt says, where the text is known."""
        return prepared.opening

    def ends_thinking(self, prepared: PreparedPrompt) -> bool:
        """Return whether it is a chat: servers take the thinking out of it, so nothing can be appended."""
        return prepared.api == "chat"

    def needs_settling(self, prepared: PreparedPrompt, request: SampleRequest) -> bool:
        """Return whether this is the first request to continue a chat and the dialect was guessed."""
        chat = self._continuation
        continues = prepared.api == "chat" and request.beam.continuation is not None
        return continues and chat.guessed and not chat.asked

    def settle(self, request: SampleRequest) -> Exchange[None]:
        """Find out whether and how the server continues a chat."""
        del request
        yield from self._continuation.find()

    def sample(self, prepared: PreparedPrompt, request: SampleRequest) -> Exchange[ExchangeResult]:
        """Send one request, or a few while learning what the server accepts."""
        chat = self._continuation
        continues = prepared.api == "chat" and request.beam.continuation is not None
        if continues:
            chat.check()
        if request.beam.thinks_apart:
            raise one_block_only()
        style = chat.style  # of the request that is on its way
        budget = request.reasoning_budget if self.ends_thinking(prepared) else None

        def wire(fields: dict[str, Any], n: int) -> WireRequest[AnyCompletion]:
            nonlocal style
            style = chat.style
            if budget is not None:
                check_sent(fields)
            return self._request(prepared, request, fields, n)

        completion, n = yield from self._negotiate(
            request,
            max(1, request.top_logprobs),
            self._fields[prepared.api],
            lambda n, top: self._values(request, n, top) | budget_values(budget),
            wire,
            recover=(lambda refusal: chat.refused(refusal, style)) if continues else None,
            refusal_means_full=not continues or chat.proved,
        )
        chat.proved |= continues
        completion, is_abandoned = whole(completion)
        if is_abandoned:
            request = attrs.evolve(request, max_tokens=max(1, len(tokens_in(completion))))
        elif budget is not None:
            check_budget(completion.choices or (), completion.usage, budget)
        result = self._result(completion, prepared, request, n)
        return abandoned(result) if is_abandoned else result

    def _values(self, request: SampleRequest, n: int, top: int) -> dict[str, Any]:
        """Return the optional fields under our names; None leaves a field out."""
        return values_of(request, n, top, stream=self._streams(request)) | dict(self.plain)

    def _request(
        self, prepared: PreparedPrompt, request: SampleRequest, optional: dict[str, Any], n: int
    ) -> WireRequest[AnyCompletion]:
        fields: dict[str, Any] = {"model": self.model, **optional, **prepared.format}
        stream = self._streams(request)
        if stream:
            fields["stream"] = True
        prefix = prepared.prefix(request.beam)
        if prepared.api == "completions":
            path, name, value = "/completions", "prompt", b'"%s%s"' % (prepared.json, prefix)
        else:
            path, name, value = "/chat/completions", "messages", b"[%s]" % prepared.json
            if request.beam.continuation is not None:
                style = CONTINUATION_STYLES[self._continuation.style]
                more = msgspec.json.encode(style.message)[1:-1]
                last = b'{"role":"assistant","content":"%s"%s}' % (prefix, more and b"," + more)
                value = b"[%s,%s]" % (prepared.json, last)
                fields |= style.request
        return WireRequest(
            path=path,
            decode=decoder(top=request.top_logprobs > 0, stream=stream, n=n),
            body=splice(name, value, fields),
            max_tokens=n * request.max_tokens,
            alternatives=max(1, request.top_logprobs),
            watch=watching(request.confidence, logprobs_in_chunk),
        )

    def _reports_truncation(self, choices: Sequence[AnyChoice], request: SampleRequest) -> bool:
        """Return whether the server reports truncation, judging by this beam and response.

        Evidence from other requests would make the result depend on the order of responses.
        """
        before = request.beam.continuation
        if before is not None and before not in self._doubted:
            return True
        return any(is_cut(choice.finish_reason) for choice in choices)

    def _note_shape(self, choices: Sequence[AnyChoice]) -> None:
        if self.shape is None:
            given = next((choice.logprobs for choice in choices if choice.logprobs), None)
            if given is not None:
                self.shape = "content" if given.content is not None else "legacy"

    def _result(
        self, completion: AnyCompletion, prepared: PreparedPrompt, request: SampleRequest, n: int
    ) -> ExchangeResult:
        if (
            completion.body
            and request.logprobs
            and request.top_logprobs == 0
            and _has_floor(completion)
        ):
            # The alternatives bound the missing log-probabilities.
            completion = decoder(top=True, stream=self._streams(request), n=n)(completion.body)
        given: Sequence[AnyChoice] = completion.choices or ()
        self._note_shape(given)
        if len(given) < n:
            self.limits.reduce_n(len(given))  # n was ignored or silently reduced
        choices = given
        reports_truncation = self._reports_truncation(choices, request)
        # The count of generated tokens is certain to be this choice's only if it is the only one.
        counted = count_in(completion.usage, "completion_tokens") if len(choices) == 1 else 0
        generated = min(counted or 0, request.max_tokens)
        echo = _written(prepared, request.beam)
        calls = [_calls_in(choice, prepared.format) for choice in choices]
        if request.logprobs:
            blocks = [
                continuation_of(
                    choice,
                    request,
                    echo,
                    generated,
                    reports_truncation=reports_truncation,
                    hidden=hides_thinking(completion.usage),
                    calls=called,
                )
                for choice, called in zip(choices, calls, strict=True)
            ]
        else:
            blocks = text_blocks(
                choices,
                completion.usage,
                request,
                reports_truncation=reports_truncation,
                calls=calls,
            )
        for choice, block in zip(choices, blocks, strict=True):
            if block.finish_reason == LENGTH and is_end(choice.finish_reason):
                self._doubted.add(block)
        if self._fields[prepared.api].inexact:
            blocks = [attrs.evolve(block, exact=False) for block in blocks]
        return ExchangeResult(
            continuations=tuple(blocks),
            prompt_tokens=count_in(completion.usage, "prompt_tokens") or 0,
            reasoning_tokens=reasoning_tokens(completion.usage),
            cached_tokens=cached_tokens(completion.usage),
            written_tokens=written_tokens(completion.usage),
            charged_tokens=charged_tokens(completion.usage),
        )


def _calls_in(choice: AnyChoice, format_: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    """Return the tool calls of a choice, which are an answer only if there are tools.

    Raises:
        MalformedResponse: the answer had to be a call, but is not.
    """
    if not has_tools(format_):
        return ()
    calls = choice.tool_calls
    wanted = format_.get("tool_choice")
    if not calls and is_end(choice.finish_reason) and wanted not in (None, "auto", "none"):
        raise MalformedResponse(
            f"the server did not heed tool_choice={wanted!r}: its answer has no tool call (does the model's"
            " chat template know tools?)"
        )
    return calls


def _written(prepared: PreparedPrompt, beam: Beam) -> Callable[[], list[str]]:
    """Make the texts that a server may send back in front of what it adds: the beam, and all before it."""

    def texts() -> list[str]:
        before = "".join(one.fragment for one in beam.lineage()) if beam.continuation else ""
        prompt = "" if prepared.api == "chat" else msgspec.json.decode(b'"%s"' % prepared.json)
        return [text for text in (before, prompt + before) if text]

    return texts


def _has_floor(completion: AnyCompletion) -> bool:
    """Return whether any token has the sentinel for "no log-probability"."""
    for choice in completion.choices or ():
        logprobs = choice.logprobs
        if logprobs is None:
            continue
        given = (
            [entry.logprob for entry in logprobs.content]
            if logprobs.content is not None
            else logprobs.token_logprobs or []
        )
        try:
            if min(given, default=0.0) < NO_LOGPROB:  # type: ignore[type-var, operator]  # None is caught
                return True
        except TypeError:
            return False
    return False
