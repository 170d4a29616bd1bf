"""The fields of requests that go to the model's server, in the strategy's ``extra_body``.

Their shapes are checked here; what they mean is up to the server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import attrs

from trio_beam.core.extra_body import CONSTRAINTS

Call: TypeAlias = Literal["chat", "completions"]
#: JSON schema of a text that is not empty.
TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
_FUNCTION = {"type": "object", "properties": {"name": TEXT}, "required": ["name"]}


def is_text(value: Any) -> bool:
    """Return whether a value is a text that is not empty."""
    return isinstance(value, str) and value != ""


def _is_function(value: Any) -> bool:
    return isinstance(value, Mapping) and is_text(value.get("name"))


def _calls_function(value: Any) -> bool:
    """Return whether it is a function as a member of ``tools``, or as a ``tool_choice``."""
    return (
        isinstance(value, Mapping)
        and value.get("type") == "function"
        and _is_function(value.get("function"))
    )


def _is_format(value: Any) -> bool:
    if not isinstance(value, Mapping) or not is_text(value.get("type")):
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
    "properties": {"type": TEXT},
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
class Passed:
    """A field that goes to the model's server.

    Attributes:
        accepts: whether a value has its shape.
        accepted: that shape, in words.
        help: one line for users.
        schema: of its JSON.
    """

    accepts: Callable[[Any], bool]
    accepted: str
    help: str
    schema: Mapping[str, Any]


def _word(words: str) -> Passed:
    return Passed(accepts=is_text, accepted="a text that is not empty", help=words, schema=TEXT)


#: What constrains an answer in the words of some servers, and arguments of the chat template.
_SERVERS_OWN = {
    name: Passed(accepts=lambda _: True, accepted="", help="For servers that take it.", schema={})
    for name in sorted(CONSTRAINTS | {"chat_template_kwargs"})
}
_COMMON = _SERVERS_OWN | {
    "response_format": Passed(
        accepts=_is_format,
        accepted="an object with a type, and with the type json_schema a schema in json_schema",
        help="The form of the answer, in searches of one block.",
        schema=_FORMAT,
    )
}
_CHAT = {
    "tools": Passed(
        accepts=lambda value: isinstance(value, list) and all(map(_calls_function, value)),
        accepted="a list of tools, each with the type function and a function that has a name",
        help="Functions that the model may call, in searches of one block.",
        schema={"type": "array", "items": _TOOL},
    ),
    "tool_choice": Passed(
        accepts=lambda value: value in ("none", "auto", "required") or _calls_function(value),
        accepted="none, auto, required, or an object that names a function",
        help="Whether the model must call a function; goes with tools.",
        schema={"anyOf": [{"enum": ["none", "auto", "required"]}, _TOOL]},
    ),
    "parallel_tool_calls": Passed(
        accepts=lambda value: isinstance(value, bool),
        accepted="true or false",
        help="Whether it may call several at once; goes with tools.",
        schema={"type": "boolean"},
    ),
    "functions": Passed(
        accepts=lambda value: isinstance(value, list) and all(map(_is_function, value)),
        accepted="a list of functions, each with a name",
        help="The former name of tools.",
        schema={"type": "array", "items": _FUNCTION},
    ),
    "function_call": Passed(
        accepts=lambda value: value in ("none", "auto") or _is_function(value),
        accepted="none, auto, or an object that names a function",
        help="The former name of tool_choice.",
        schema={"anyOf": [{"enum": ["none", "auto"]}, _FUNCTION]},
    ),
    "reasoning_effort": _word("How much to think, for models that take it."),
    "verbosity": _word("How long to answer, for models that take it."),
}
#: By call.
PASSED: Mapping[Call, Mapping[str, Passed]] = {"chat": _COMMON | _CHAT, "completions": _COMMON}
