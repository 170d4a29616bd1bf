"""The fields of requests, declared once: the parser and the OpenAPI document are made from these.

`TAKEN_AS` are fields whose usual value changes nothing: they are accepted with that value, and refused with
another one, since a search cannot honour it. `WITHOUT_EFFECT` are about the caller, not about the answer.
`passed_fields` and `SERVERS_OWN` go to the model's server, in the strategy's ``extra_body``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from trio_beam.core.extra_body import CONSTRAINTS
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
#: Fields that servers have beside OpenAI's: what constrains an answer, and arguments of the chat template.
SERVERS_OWN = (CONSTRAINTS - {"response_format"}) | {"chat_template_kwargs"}
#: Metadata key of the JSON schema of a field that is passed.
SCHEMA = "trio_beam.schema"
_NAME: dict[str, Any] = {"type": "string", "minLength": 1}
_FUNCTION = {"type": "object", "properties": {"name": _NAME}, "required": ["name"]}


def _mapping(words: str) -> Any:
    return field(Parameter(kind="mapping", optional=True, help=words), None)


def _passed(
    accepts: Callable[[Any], bool], accepted: str, words: str, schema: dict[str, Any]
) -> Any:
    """Declare a field for the model's server; None if it is left out."""
    parameter = Parameter(
        kind="part", optional=True, accepts=accepts, accepted=accepted, help=words
    )
    metadata = {PARAMETER: parameter, SCHEMA: schema}
    return attrs.field(default=None, validator=check_declared, metadata=metadata)


def passed_fields(kind: type) -> dict[str, dict[str, Any]]:
    """Return the fields of a call that go to the model's server, each with its JSON schema."""
    return {one.name: one.metadata[SCHEMA] for one in attrs.fields(kind) if SCHEMA in one.metadata}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_function(value: Any) -> bool:
    return isinstance(value, Mapping) and _is_text(value.get("name"))


def _calls_function(value: Any) -> bool:
    """Return whether it is a function as a member of ``tools``, or as a ``tool_choice``."""
    return (
        isinstance(value, Mapping)
        and value.get("type") == "function"
        and _is_function(value.get("function"))
    )


def _is_format(value: Any) -> bool:
    if not isinstance(value, Mapping) or not _is_text(value.get("type")):
        return False
    inner = value.get("json_schema", value)
    schema = inner.get("schema") if isinstance(inner, Mapping) else None
    return value["type"] != "json_schema" or isinstance(schema, Mapping)


_TOOL = {
    "type": "object",
    "properties": {"type": {"const": "function"}, "function": _FUNCTION},
    "required": ["type", "function"],
}
_FORMAT: dict[str, Any] = {
    "type": "object",
    "properties": {"type": _NAME},
    "required": ["type"],
    "if": {"properties": {"type": {"const": "json_schema"}}},
    "then": {
        "anyOf": [
            {
                "properties": {
                    "json_schema": {
                        "type": "object",
                        "properties": {"schema": {"type": "object"}},
                        "required": ["schema"],
                    }
                },
                "required": ["json_schema"],
            },
            {
                "properties": {"json_schema": False, "schema": {"type": "object"}},
                "required": ["schema"],
            },
        ]
    },
}


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
    response_format: Mapping[str, Any] | None = _passed(
        _is_format,
        "an object with a type, and with type json_schema a schema in json_schema",
        "The form of the answer, in searches of one block.",
        _FORMAT,
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
    tools: Sequence[Any] | None = _passed(
        lambda value: isinstance(value, list) and all(map(_calls_function, value)),
        "a list of tools, each with type 'function' and a function with a name",
        "Functions that the model may call, in searches of one block.",
        {"type": "array", "items": _TOOL},
    )
    tool_choice: str | Mapping[str, Any] | None = _passed(
        lambda value: value in ("none", "auto", "required") or _calls_function(value),
        "none, auto, required, or an object that names a function",
        "Whether the model must call a function; goes with tools.",
        {"anyOf": [{"enum": ["none", "auto", "required"]}, _TOOL]},
    )
    parallel_tool_calls: bool | None = _passed(
        lambda value: isinstance(value, bool),
        "true or false",
        "Whether it may call several; goes with tools.",
        {"type": "boolean"},
    )
    functions: Sequence[Any] | None = _passed(
        lambda value: isinstance(value, list) and all(map(_is_function, value)),
        "a list of functions, each with a name",
        "The former name of tools.",
        {"type": "array", "items": _FUNCTION},
    )
    function_call: str | Mapping[str, Any] | None = _passed(
        lambda value: value in ("none", "auto") or _is_function(value),
        "none, auto, or an object that names a function",
        "The former name of tool_choice.",
        {"anyOf": [{"enum": ["none", "auto"]}, _FUNCTION]},
    )
    reasoning_effort: str | None = _passed(
        _is_text, "a text that is not empty", "How much to think, for models that take it.", _NAME
    )
    verbosity: str | None = _passed(
        _is_text, "a text that is not empty", "How long to answer, for models that take it.", _NAME
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
                    isinstance(value, list) and value != [] and all(map(_is_text, value))
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
