"""The optional fields of the OpenAI protocol, with the ways in which servers take them.

From refusals of hosted APIs and gateways in public reports. What would change the distribution is never
left out without a word: the block is then marked inexact, or the error says what to set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trio_beam.dialects.common.negotiation import VALUE, OptionalField, Way
from trio_beam.errors import LogprobsUnavailable

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
        # Servers that refuse even 1 have no other temperature.
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
    advice="the server takes no seed: search without a seed (seed=None)",
)
_NO_LOGPROBS = (
    "a search needs log-probabilities: use another model or server, or api='chat' or 'completions' if the"
    " server has them in one of the two calls only"
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
#: In the order of the trials, the least harmful first.
_SHARED = (_TOP_P, _STREAM_OPTIONS)
COMPLETION_FIELDS = (*_SHARED, _LOGPROBS, MAX_TOKENS, _SEED, _N, _TEMPERATURE)
CHAT_FIELDS = (*_SHARED, _CHAT_LOGPROBS, MAX_TOKENS, _SEED, _N, _TEMPERATURE)


def plain_fields(values: Mapping[str, Any]) -> tuple[OptionalField, ...]:
    """Fields that keep a server from truncating the distribution, and that it may refuse."""
    return tuple(
        OptionalField(name=name, ways=(Way(fields={name: VALUE}), Way(fields={}, inexact=True)))
        for name in values
    )
