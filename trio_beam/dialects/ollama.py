"""Ollama's native generate call: text in, text and raw log-probabilities out.

A string is sent with ``raw``, bypassing the model's template. A chat is rendered once by the server's
template (``_debug_render_only``) and then sent as a string, because only some models' templates
continue a final assistant message; others close it and open a new turn. The call takes and returns no
token ids, so a beam is continued by its text.

One continuation per request; at most 20 alternatives per token. Incomplete characters are sent as
U+FFFD and dropped from the end of a block's text. The end-of-text token is counted but not reported, so
a block that ended is inexact. Log-probabilities are computed before temperature in the engines whose
source was read; because Ollama has others, a block at a temperature other than 1 is inexact too.

The context is the server's ``num_ctx`` (changing it would reload the model). A prompt that does not fit
is refused; the server's default would silently drop its beginning.

From documentation: ``docs/api.md``, ``docs/openapi.yaml``; and source: ``api/types.go``,
``server/routes.go``, ``runner/common/logprob.go``, ``openai/openai.go``; versions 0.12.11 (the
first with log-probabilities) to 0.30; issues 13497 and 16196. Not run.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import msgspec

from trio_beam.core.block import CONTEXT, LENGTH, Continuation
from trio_beam.core.language_model import SampleRequest
from trio_beam.core.prompt import Prompt
from trio_beam.core.reasoning import opening_tag
from trio_beam.dialects.common.constraints import Constraint
from trio_beam.dialects.common.dialect import DIALECTS, Api
from trio_beam.dialects.common.encoding import PrefixEncoder, decoder_of, encode_string, splice
from trio_beam.dialects.common.exchange import Exchange, ExchangeResult, WireRequest
from trio_beam.dialects.common.limits import Limits
from trio_beam.dialects.openai import OpenAI, PreparedPrompt
from trio_beam.dialects.openai_wire import (
    Choice,
    Completion,
    EntryWithTop,
    LogprobsWithTop,
)
from trio_beam.errors import ConfigError, LogprobsUnavailable, MalformedResponse

#: Maximum number of alternatives that the server accepts.
_MAX_TOP = 20
#: Turns off everything that a model file or the server's defaults may turn on.
_PLAIN: dict[str, Any] = {
    "top_p": 1,
    "top_k": 0,
    "min_p": 0,
    "typical_p": 1,
    "repeat_penalty": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
}


class _Generated(msgspec.Struct):
    response: str
    done: bool
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    logprobs: list[EntryWithTop] | None = None


class _DebugInfo(msgspec.Struct):
    rendered_template: str = ""
    image_count: int = 0


class _Rendered(msgspec.Struct):
    info: _DebugInfo | None = msgspec.field(default=None, name="_debug_info")


_decode_generated = decoder_of(_Generated)
_decode_rendered = decoder_of(_Rendered)


@DIALECTS.register("ollama")
class Ollama(OpenAI):
    """Strings, and chats rendered by the server; one choice per request."""

    name: ClassVar[str] = "ollama"
    #: Owner of models from Ollama's library; others have other owners.
    owner: ClassVar[str | None] = "library"
    shape = "native"
    can_stream: ClassVar[bool] = False
    reads_tool_calls: ClassVar[bool] = False

    def __init__(self, model: str, api: Api, limits: Limits, stream: bool = False) -> None:
        super().__init__(model, api, limits, stream)
        self.limits.n = 1
        self.limits.logprobs = self.limits.cap_logprobs(_MAX_TOP)

    def prepare(self, prompt: Prompt) -> Exchange[PreparedPrompt]:
        """Render chat messages to text by the server's template; keep a string.

        Raises:
            ConfigError: the messages contain images, which text cannot represent.
            MalformedResponse: the server did not render them.
        """
        prefix = PrefixEncoder(lambda beam: encode_string(beam.fragment))
        format_ = self._constraint(prompt)
        messages = self._messages_of(prompt)
        text = prompt.text or ""
        if messages is not None:
            rendered: _Rendered = yield self._render(messages)
            if rendered.info is None or not rendered.info.rendered_template:
                raise MalformedResponse(
                    "the server did not render the chat; use a newer Ollama, or a string prompt"
                )
            if rendered.info.image_count:
                raise ConfigError("prompt", "chat messages of text only with Ollama", messages)
            text = rendered.info.rendered_template
        return PreparedPrompt(
            api="completions",
            json=encode_string(text),
            prefix=prefix,
            opening=opening_tag(text),
            format=format_,
        )

    def _constrain(self, constraint: Constraint) -> dict[str, Any]:
        if constraint.kind != "json":
            raise constraint.unsupported("Ollama", "format or response_format with a JSON schema")
        return {"format": constraint.value}

    def _render(self, messages: Any) -> WireRequest[_Rendered]:
        fields = {
            "model": self.model,
            "messages": messages,
            "stream": False,
            "truncate": False,
            "_debug_render_only": True,
            "options": {"num_predict": 1},  # for a server that does not know the field above
        }
        body = msgspec.json.encode(fields)
        return WireRequest(path="/api/chat", decode=_decode_rendered, body=body, at_root=True)

    def _values(self, request: SampleRequest, n: int, top: int) -> dict[str, Any]:
        """Return nothing: the native call has no optional fields."""
        del request, n, top
        return {}

    def _request(
        self, prepared: PreparedPrompt, request: SampleRequest, optional: dict[str, Any], n: int
    ) -> WireRequest[Any]:
        del optional
        options = {
            "num_predict": request.max_tokens,
            "temperature": request.temperature,
            **_PLAIN,
        }
        if request.seed is not None:
            options["seed"] = request.seed
        fields: dict[str, Any] = {
            "model": self.model,
            "raw": True,
            "stream": False,
            "think": False,  # otherwise reasoning would be cut out of the text
            "truncate": False,
            "shift": False,
            "options": options,
            **prepared.format,
        }
        if request.logprobs:
            fields["logprobs"] = True
            fields["top_logprobs"] = self.limits.cap_logprobs(request.top_logprobs)
        prefix = prepared.prefix(request.beam)
        return WireRequest(
            path="/api/generate",
            decode=_decode,
            body=splice("prompt", b'"%s%s"' % (prepared.json, prefix), fields),
            at_root=True,
            max_tokens=n * request.max_tokens,
            alternatives=request.top_logprobs,
        )

    def _result(
        self, completion: Any, prepared: PreparedPrompt, request: SampleRequest, n: int
    ) -> ExchangeResult:
        choice = completion.choices[0]
        if request.logprobs and choice.text and choice.logprobs is None:
            raise LogprobsUnavailable(
                "the server sent text without log-probabilities; Ollama has them since 0.12.11"
            )
        result = super()._result(completion, prepared, request, n)
        (continuation,) = result.continuations
        return attrs.evolve(result, continuations=(_mark_inexact(continuation, request),))


def _decode(body: bytes) -> Completion[LogprobsWithTop]:
    """Decode a response into the shape of the OpenAI family."""
    generated: _Generated = _decode_generated(body)
    if not generated.done:
        raise msgspec.ValidationError("the response is incomplete: `done` is false")
    entries = generated.logprobs
    logprobs = LogprobsWithTop(content=entries) if entries is not None else None
    counts = {
        "prompt_tokens": generated.prompt_eval_count,
        "completion_tokens": generated.eval_count,
    }
    choice = Choice(text=generated.response, finish_reason=generated.done_reason, logprobs=logprobs)
    return Completion(choices=[choice], usage=counts)


def _mark_inexact(continuation: Continuation, request: SampleRequest) -> Continuation:
    reason = continuation.finish_reason
    if reason == LENGTH and continuation.generated < request.max_tokens:
        reason = CONTEXT  # the request disables context shifting
    exact = continuation.exact and request.temperature == 1
    return attrs.evolve(continuation, finish_reason=reason, exact=exact)
