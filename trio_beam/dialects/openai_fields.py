"""Optional fields of the OpenAI protocol and the ways in which servers accept them.

Based on public reports of refusals by hosted APIs and gateways. A field that affects the distribution is
never dropped silently: either the block is marked inexact or the error says what to set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trio_beam.core.language_model import SampleRequest
from trio_beam.dialects.common.negotiation import VALUE, OptionalField, Way
from trio_beam.dialects.openai_thinking import BUDGET_FIELDS
from trio_beam.errors import WITHOUT_LOGPROBS, LogprobsUnavailable

MAX_TOKENS = OptionalField(
    name="max_tokens",
    ways=(
        Way(fields={"max_tokens": VALUE}),
        Way(fields={"max_completion_tokens": VALUE}),  # OpenAI's reasoning models
    ),
    advice="set tokens_per_step to what the server allows",
    is_limit=True,
)
_TEMPERATURE = OptionalField(
    name="temperature",
    ways=(
        Way(fields={"temperature": VALUE}),
        # A server that refuses even 1 supports no other temperature.
        Way(fields={}, inexact=True, only=1),
    ),
    advice="set proposal_temperature to what the server allows, mostly 1",
)
_TOP_P = OptionalField(
    name="top_p", ways=(Way(fields={"top_p": VALUE}), Way(fields={}, inexact=True))
)
_STREAM_OPTIONS = OptionalField(
    name="stream_options", ways=(Way(fields={"stream_options": VALUE}), Way(fields={}))
)
_N = OptionalField(name="n", ways=(Way(fields={"n": VALUE}), Way(fields={})))
_SEED = OptionalField(
    name="seed",
    ways=(Way(fields={"seed": VALUE}), Way(fields={"random_seed": VALUE})),  # Mistral
    advice="the server does not support seeds: search without one (seed=None)",
)
_NO_LOGPROBS = (
    f"{WITHOUT_LOGPROBS}. Or use another model or server, or set api='chat' or 'completions' if only one of"
    " the two calls has them"
)
_LOGPROBS = OptionalField(
    name="logprobs",
    ways=(Way(fields={"logprobs": VALUE}), Way(fields={"logprobs": True})),
    advice=_NO_LOGPROBS,
    unavailable=LogprobsUnavailable,
)
_CHAT_LOGPROBS = OptionalField(
    name="logprobs",
    ways=(
        Way(fields={"logprobs": True, "top_logprobs": VALUE}),
        Way(fields={"logprobs": True}),
        Way(fields={"logprobs": VALUE}),
    ),
    advice=_NO_LOGPROBS,
    unavailable=LogprobsUnavailable,
)
#: In the order of trials, least harmful first.
_SHARED = (_TOP_P, _STREAM_OPTIONS)
COMPLETION_FIELDS = (*_SHARED, _LOGPROBS, MAX_TOKENS, _SEED, _N, _TEMPERATURE)
CHAT_FIELDS = (*_SHARED, *BUDGET_FIELDS, _CHAT_LOGPROBS, MAX_TOKENS, _SEED, _N, _TEMPERATURE)


def values_of(request: SampleRequest, n: int, top: int, *, stream: bool) -> dict[str, Any]:
    """Return the optional fields of a request under our names; None leaves a field out.

    Args:
        request: the sampling request.
        n: number of choices.
        top: number of alternatives per token.
        stream: whether to request a streamed response.
    """
    return {
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": 1,
        "n": n if n > 1 else None,
        "seed": request.seed,
        "logprobs": top if request.logprobs else None,
        "stream_options": {"include_usage": True} if stream else None,
    }


def plain_fields(values: Mapping[str, Any]) -> tuple[OptionalField, ...]:
    """Return fields that keep a server from truncating the distribution but that it may refuse."""
    return tuple(
        OptionalField(name=name, ways=(Way(fields={name: VALUE}), Way(fields={}, inexact=True)))
        for name in values
    )
