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


def check_prompt(prompt: PromptLike) -> Prompt:
    """Make a `Prompt` of what the caller gave.

    Raises:
        ConfigError: it is empty, or not of one of the two shapes.
    """
    if isinstance(prompt, str):
        if not prompt:
            raise ConfigError("prompt", "a text that is not empty, or chat messages", prompt)
        return Prompt(text=prompt)
    if not isinstance(prompt, Sequence) or isinstance(prompt, (bytes, bytearray)) or not prompt:
        raise ConfigError("prompt", "a text that is not empty, or chat messages", prompt)
    for message in prompt:
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise ConfigError("prompt", "chat messages, each with a role and a content", message)
        if message.get("content") is None:
            raise ConfigError("prompt", "chat messages, each with a role and a content", message)
    if prompt[-1]["role"] == "assistant":
        raise ConfigError(
            "prompt", "chat messages whose last is not the assistant's: the search writes that one", prompt[-1]
        )
    return Prompt(messages=tuple(prompt))
