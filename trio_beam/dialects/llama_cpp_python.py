"""llama-cpp-python's server: text in, text and legacy log-probabilities out.

It serves one request at a time, with one continuation whatever `n` is, and prepends the begin-of-text
token to every prompt. A chat cannot be searched: the server closes a final assistant message and opens
a new turn, and no call renders the template.

The end-of-text token appears neither in the log-probabilities nor in the counts, so a block that ended
is inexact.

Recorded: 0.2.60. From its source (``llama.py``, ``server/types.py``, ``server/app.py``): the defaults of
the sampling fields, the owner in ``/v1/models``, the refusal without ``logits_all``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from trio_beam.core.block import STOP, Continuation
from trio_beam.core.language_model import SampleRequest
from trio_beam.core.prompt import Prompt
from trio_beam.dialects.common.constraints import Constraint
from trio_beam.dialects.common.dialect import DIALECTS, Api
from trio_beam.dialects.common.exchange import Exchange, ExchangeResult
from trio_beam.dialects.common.limits import Limits
from trio_beam.dialects.common.negotiation import VALUE, Negotiation, OptionalField, Way
from trio_beam.dialects.openai import OpenAI, PreparedPrompt
from trio_beam.dialects.openai_fields import COMPLETION_FIELDS, plain_fields
from trio_beam.errors import ConfigError, LogprobsUnavailable

_LOGPROBS = OptionalField(
    name="logprobs",
    ways=(Way(fields={"logprobs": VALUE}),),
    advice="start the server with `--logits_all true`: it has no log-probabilities otherwise",
    unavailable=LogprobsUnavailable,
)


@DIALECTS.register("llama_cpp_python")
class LlamaCppPython(OpenAI):
    """Strings only; one choice per request."""

    name: ClassVar[str] = "llama_cpp_python"
    owner: ClassVar[str | None] = "me"
    #: Overrides of defaults that change the distribution: top-k 40, min-p 0.05 and, in 0.2.60, a
    #: repetition penalty of 1.1.
    openai_plain: ClassVar[Mapping[str, Any]] = {"top_k": 0, "min_p": 0, "repeat_penalty": 1}
    reads_tool_calls: ClassVar[bool] = False

    def __init__(self, model: str, api: Api, limits: Limits, stream: bool = False) -> None:
        super().__init__(model, api, limits, stream)
        self.limits.n = 1
        others = [field for field in COMPLETION_FIELDS if field.name != "logprobs"]
        fields = (*others, _LOGPROBS, *plain_fields(self.plain))
        self._fields["completions"] = Negotiation(fields)

    def prepare(self, prompt: Prompt) -> Exchange[PreparedPrompt]:
        """Encode the prompt; sends nothing.

        Raises:
            ConfigError: the prompt is a chat.
        """
        if prompt.messages is not None:
            bound = (
                "a string with llama-cpp-python, whose server opens a new turn instead of continuing a"
                " chat: render the model's chat template into a string, or use another server"
            )
            raise ConfigError("prompt", bound, "chat messages")
        if self.api == "chat":
            raise ConfigError("api", "'completions' or 'auto' with llama-cpp-python", self.api)
        prepared = yield from super().prepare(prompt)
        return prepared

    def _format(self, prompt: Prompt) -> Mapping[str, Any]:
        return self._constraint(prompt)

    def _constrain(self, constraint: Constraint) -> dict[str, Any]:
        if constraint.kind not in ("grammar", "choice"):
            raise constraint.unsupported("llama-cpp-python's completions call", "grammar")
        is_choice = constraint.kind == "choice"
        return {"grammar": constraint.as_grammar() if is_choice else constraint.value}

    def _result(
        self, completion: Any, prepared: PreparedPrompt, request: SampleRequest, n: int
    ) -> ExchangeResult:
        result = super()._result(completion, prepared, request, n)
        return attrs.evolve(result, continuations=tuple(map(_mark_inexact, result.continuations)))


def _mark_inexact(continuation: Continuation) -> Continuation:
    ended = continuation.finish_reason == STOP
    return attrs.evolve(continuation, exact=False) if ended else continuation
