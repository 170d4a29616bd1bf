"""Read tool calls from messages and from the pieces of a stream. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import attrs

from trio_beam.core.tool_calls import ToolCall


@attrs.define
class _Written:
    """A call as far as it has been received."""

    index: Any
    id: str | None
    name: str = ""
    arguments: str = ""


def read_calls(pieces: Sequence[Any]) -> tuple[ToolCall, ...]:
    """Join the members of ``tool_calls`` lists, in order, into calls; anything without a name is dropped.

    A piece with the index of an earlier one continues it, as does a piece without index, id and name.
    """
    found: list[_Written] = []
    for piece in pieces:
        if not isinstance(piece, dict):
            continue
        function = piece.get("function")
        if not isinstance(function, dict):
            function = piece  # the former ``function_call``
        index, name = piece.get("index"), function.get("name")
        known = next((one for one in found if index is not None and one.index == index), None)
        if known is None and found and index is None and not name and not piece.get("id"):
            known = found[-1]
        if known is None:
            known = _Written(index, None)
            found.append(known)
        known.id = known.id or _text(piece.get("id")) or None
        known.name += _text(name)
        known.arguments += _arguments(function.get("arguments"))
    return tuple(ToolCall(one.name, one.arguments, one.id) for one in found if one.name)


def _text(given: Any) -> str:
    return given if isinstance(given, str) else ""


def _arguments(given: Any) -> str:
    """Return arguments as JSON; some servers send the object itself."""
    if given is None or isinstance(given, str):
        return given or ""
    return json.dumps(given, ensure_ascii=False)
