"""What a search starts from: a string, or chat messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import attrs

from trio_beam.errors import ConfigError

#: A string is sent as it is; chat messages go through the server's own template.
PromptLike: TypeAlias = str | Sequence[Mapping[str, Any]]


@attrs.frozen(kw_only=True, eq=False)
class Prompt:
    """A checked prompt: exactly one of the two fields is set."""

    text: str | None = None
    messages: tuple[Mapping[str, Any], ...] | None = None


_SHAPE = "a text that is not empty, or chat messages, each with a role and a content"


def check_prompt(prompt: PromptLike) -> Prompt:
    """Make a `Prompt` of what the caller gave.

    Raises:
        ConfigError: it is empty, or not of one of the two shapes.
    """
    given: Any = prompt  # callers without a type checker give anything
    if isinstance(given, str) and given:
        return Prompt(text=given)
    if not isinstance(given, (list, tuple)) or not given:
        raise ConfigError("prompt", _SHAPE, given)
    for message in given:
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise ConfigError("prompt", _SHAPE, message)
        if message.get("content") is None:
            raise ConfigError("prompt", _SHAPE, message)
    if given[-1]["role"] == "assistant":
        bound = "chat messages that end before the assistant's: the search writes that one"
        raise ConfigError("prompt", bound, given[-1])
    return Prompt(messages=tuple(given))
