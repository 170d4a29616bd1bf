"""Tool calls: what a model asks a program to do instead of, or besides, answering by a text."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import attrs


@attrs.frozen
class ToolCall:
    """One call of a tool.

    Attributes:
        name: of the tool.
        arguments: its arguments as the model wrote them: a JSON object, unless the model made a mistake.
        id: the server's name for the call, which the message with its result repeats; None if it has none.
    """

    name: str
    arguments: str
    id: str | None = None

    @property
    def is_json(self) -> bool:
        """Whether the arguments are JSON; those of a call that was cut off are not."""
        return _parsed(self.arguments) is not None

    @property
    def text(self) -> str:
        """Name and arguments as canonical JSON, equal for equal calls: sorted keys, no needless ``.0``."""
        parsed = _parsed(self.arguments)
        arguments: Any = self.arguments if parsed is None else parsed[0]
        written = json.dumps(arguments, ensure_ascii=False, sort_keys=True)
        return f'{{"name": {json.dumps(self.name, ensure_ascii=False)}, "arguments": {written}}}'

    def as_dict(self) -> dict[str, Any]:
        """Return the call as a member of ``tool_calls`` in an assistant's chat message."""
        function = {"name": self.name, "arguments": self.arguments}
        named = {} if self.id is None else {"id": self.id}
        return {**named, "type": "function", "function": function}


def as_text(calls: Iterable[ToolCall]) -> str:
    """Return calls as text, one per line."""
    return "\n".join(call.text for call in calls)


def _parsed(arguments: str) -> tuple[Any] | None:
    """Return the arguments' canonical value in a tuple; None if they are not JSON."""
    try:
        value = json.loads(arguments or "{}", parse_constant=_refuse)
        return (_canonical(value),)
    except (ValueError, RecursionError):
        return None


def _refuse(word: str) -> Any:
    raise ValueError(word)


def _canonical(value: Any) -> Any:
    match value:
        case dict():
            return {name: _canonical(inner) for name, inner in value.items()}
        case list():
            return [_canonical(inner) for inner in value]
        case float() if not math.isfinite(value):
            raise ValueError("beyond the range of numbers")
        case float() if value.is_integer():
            return int(value)
        case _:
            return value
