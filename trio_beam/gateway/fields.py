"""The fields of requests, declared once: the parser and the OpenAPI document are made from these.

`TAKEN_AS` are fields whose usual value changes nothing: they are accepted with that value, and refused with
another one, since a search cannot honour it. `WITHOUT_EFFECT` are about the caller, not about the answer.
Those for the model's server are in `passed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from trio_beam.core.validation import (
    PARAMETER,
    Parameter,
    as_tuple,
    boolean,
    check_declared,
    field,
    integer,
    number,
)
from trio_beam.gateway.passed import TEXT, is_text

_OWN = "the search is one of the model's own distribution"
#: Fields by the values that change nothing, and why another one is refused.
TAKEN_AS: dict[str, tuple[tuple[Any, ...], str]] = {
    **dict.fromkeys(("top_p", "repetition_penalty"), ((1,), _OWN)),
    **dict.fromkeys(("presence_penalty", "frequency_penalty", "min_p"), ((0,), _OWN)),
    "top_k": ((-1, 0), _OWN),
    "logit_bias": (({},), _OWN),
    "best_of": ((1,), "use a strategy: MODEL@best-8, or the field search"),
    "echo": ((False,), "the prompt is not scored"),
    "suffix": (("",), "a search goes forward only"),
    "modalities": ((["text"],), "a search is for text"),
    "store": ((False,), "nothing is stored"),
}
WITHOUT_EFFECT = frozenset(
    {
        *("user", "metadata", "service_tier", "safety_identifier", "prompt_cache_key"),
        *("prompt_cache_retention", "prompt_cache_options", "prediction"),
    }
)


def _mapping(words: str) -> Any:
    return field(Parameter(kind="mapping", optional=True, help=words), None)


@attrs.frozen(kw_only=True)
class StreamOptions:
    """The parts of ``stream_options``."""

    include_usage: bool = boolean(
        default=False, help="Whether a last chunk without choices has the usage."
    )
    include_obfuscation: bool = boolean(default=False, help="Has no effect.")


@attrs.frozen(kw_only=True)
class CommonFields:
    """The fields of both calls."""

    model: str = field(
        Parameter(
            kind="text",
            help="The model's name, with a strategy behind an @: my-model@beam-4x2. See GET /v1/models.",
        ),
        attrs.NOTHING,
    )
    n: int = integer(
        1, minimum=1, help="Choices: the best n beams. Fewer where fewer different ones were found."
    )
    max_tokens: int | None = integer(
        None, minimum=1, optional=True, unit="tokens", help="Maximum length of each choice."
    )
    temperature: float | None = number(
        None, minimum=0, maximum=2, optional=True, help="Temperature at which texts are sampled."
    )
    seed: int | None = integer(
        None, minimum=0, optional=True, help="Makes the search reproducible."
    )
    stop: tuple[str, ...] = attrs.field(
        default=(),
        converter=as_tuple,
        validator=check_declared,
        metadata={
            PARAMETER: Parameter(
                kind="texts", help="Texts that end a choice; not part of it. One, or a list."
            )
        },
    )
    stream: bool = boolean(
        default=False, help="Whether to send what is settled at once, as server-sent events."
    )
    stream_options: Mapping[str, Any] | None = _mapping("Goes with stream: include_usage.")
    search: Mapping[str, Any] | None = _mapping(
        "The strategy, its parameters, and within: seconds after which the best so far is returned."
    )


@attrs.frozen(kw_only=True)
class ChatFields(CommonFields):
    """The fields of ``POST /v1/chat/completions``."""

    messages: Any = attrs.field(
        validator=check_declared,
        metadata={
            PARAMETER: Parameter(
                kind="part",
                accepts=lambda value: isinstance(value, list),
                accepted="a list of messages, each with a role and a content",
                help="The chat so far; the next message, the assistant's, is searched for.",
            )
        },
    )
    max_completion_tokens: int | None = integer(
        None, minimum=1, optional=True, unit="tokens", help="The newer name of max_tokens."
    )
    logprobs: bool = boolean(
        default=False, help="Whether to return the log-probability (nats) of each token."
    )
    top_logprobs: int | None = integer(
        None, minimum=0, optional=True, help="Alternatives per token; goes with logprobs."
    )


def _one_or_more(given: Any) -> Any:
    """Return one text as a list of one; anything else unchanged."""
    return [given] if isinstance(given, str) else given


@attrs.frozen(kw_only=True)
class CompletionFields(CommonFields):
    """The fields of ``POST /v1/completions``."""

    prompt: list[str] = attrs.field(
        converter=_one_or_more,
        validator=check_declared,
        metadata={
            PARAMETER: Parameter(
                kind="part",
                accepts=lambda value: (
                    isinstance(value, list) and value != [] and all(map(is_text, value))
                ),
                accepted="a text that is not empty, or a list of such texts (token ids are not taken)",
                help="The text to go on with, sent to the model verbatim; or a list of several, each"
                " with n choices.",
            )
        },
    )
    logprobs: int | None = integer(
        None,
        minimum=0,
        optional=True,
        help="Return the log-probability (nats) of each token, and so many alternatives.",
    )


_TEXTS = {"type": "array", "items": TEXT, "minItems": 1}
_PARTS = {
    "type": "array",
    "items": {"type": "object", "properties": {"type": {"type": "string"}}, "required": ["type"]},
}
_MESSAGE = {
    "type": "object",
    "properties": {
        "role": {"type": "string"},
        "content": {"anyOf": [{"type": ["string", "null"]}, _PARTS]},
        "tool_calls": {"anyOf": [{"type": "null"}, _PARTS]},
    },
    "required": ["role"],
    "anyOf": [
        {"properties": {"content": {"not": {"type": "null"}}}, "required": ["content"]},
        {"required": ["tool_calls"]},
    ],
}
#: JSON schemas of what is searched for.
PROMPT_SCHEMAS: dict[str, dict[str, Any]] = {
    "messages": {"type": "array", "items": _MESSAGE, "minItems": 1},
    "prompt": {"anyOf": [TEXT, _TEXTS]},
}
