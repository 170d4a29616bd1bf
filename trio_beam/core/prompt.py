"""The prompt of a search: a string, or chat messages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import attrs

from trio_beam.core.extra_body import NO_FIELDS
from trio_beam.errors import ConfigError

#: A string is sent verbatim; chat messages go through the server's template.
PromptLike: TypeAlias = str | Sequence[Mapping[str, Any]]


@attrs.frozen(kw_only=True, eq=False)
class Prompt:
    """A validated prompt: either a text or messages.

    Attributes:
        text: sent verbatim.
        messages: go through the model's template.
        extra_body: fields of the server's own for the requests about it, merged over the endpoint's.
    """

    text: str | None = None
    messages: tuple[Mapping[str, Any], ...] | None = None
    extra_body: Mapping[str, Any] = NO_FIELDS


#: Message fields that may replace the content: tool calls, a refusal, audio.
_INSTEAD_OF_CONTENT = frozenset({"tool_calls", "function_call", "refusal", "audio"})
_SHAPE = "a text (Unicode, not empty), or chat messages, each with a role and a content"


def check_prompt(prompt: PromptLike) -> Prompt:
    """Validate a prompt.

    Raises:
        ConfigError: it is empty, or neither a string nor chat messages.
    """
    given: Any = prompt  # callers without a type checker may pass anything
    if isinstance(given, str):
        if not given or not _is_text(given):
            raise ConfigError("prompt", _SHAPE, given)
        return Prompt(text=given)
    if not isinstance(given, (list, tuple)) or not given:
        raise ConfigError("prompt", _SHAPE, given)
    messages = tuple(_check_message(message) for message in given)
    if messages[-1]["role"] == "assistant":
        bound = "chat messages without a final assistant message, which the search writes"
        raise ConfigError("prompt", bound, given[-1])
    return Prompt(messages=messages)


def _check_message(message: Any) -> dict[str, Any]:
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise ConfigError("prompt", _SHAPE, message)
    says_something = message.get("content") is not None or message.keys() & _INSTEAD_OF_CONTENT
    if not says_something or not _is_json(dict(message)):
        raise ConfigError("prompt", _SHAPE, message)
    return dict(message)


def _is_json(value: Any) -> bool:
    """Return whether JSON can represent a value."""
    match value:
        case None | bool() | int() | float():
            return True
        case str():
            return _is_text(value)
        case list() | tuple():
            return all(map(_is_json, value))
        case dict():
            return all(isinstance(key, str) and _is_json(value[key]) for key in value)
        case _:
            return False


def _is_text(text: str) -> bool:
    """Return whether a text can be encoded: a lone surrogate stands for a byte that was not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def fill_in(template: str, **values: str) -> str:
    """Replace each ``{name}`` in a template; a value that contains a placeholder stays as it is."""
    pattern = "|".join(re.escape(f"{{{name}}}") for name in values)
    return re.sub(pattern, lambda found: values[found[0][1:-1]], template)


def text_of(prompt: Prompt) -> str:
    """Return a prompt as text: a single user message verbatim, other messages with their roles."""
    if prompt.messages is None:
        return prompt.text or ""
    messages = [(str(one["role"]), _content(one.get("content"))) for one in prompt.messages]
    if [role for role, _ in messages] == ["user"]:
        return messages[0][1]
    return "\n\n".join(f"{role}: {content}" for role, content in messages)


def _content(content: Any) -> str:
    """Return the text of a message's content, which may be a list of parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, Mapping)]
    return "\n".join(text for text in texts if isinstance(text, str))
