"""Describe the values that answers depend on, JSON-compatible and the same in every process.

Defaults are omitted, so that adding a parameter to the library later does not invalidate today's records.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from trio_beam.core.validation import PARAMETER


def identity_of(value: Any) -> Any:
    """Describe a value: an attrs object by class and fields, a function by name and source.

    Functions with the same source but different closures are not distinguished.
    """
    match value:
        case None | bool() | int() | float() | str():
            described: Any = value
        case Mapping():
            described = {str(key): identity_of(inner) for key, inner in value.items()}
        case list() | tuple():
            described = [identity_of(inner) for inner in value]
        case functools.partial():
            parts = (value.func, value.args, value.keywords)
            described = {"partial": [identity_of(part) for part in parts]}
        case _ if inspect.isroutine(value) or isinstance(value, type):
            described = {"function": _name(value), "source": digest_of({"source": _source(value)})}
        case _:
            inner = _fields(value) if attrs.has(type(value)) else _state(value)
            described = {"class": _name(type(value)), **inner}
    return described


def digest_of(value: Mapping[str, Any]) -> str:
    """Return a stable digest of a JSON-compatible value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def fingerprint(file: Path) -> str | None:
    """Describe a file by all of its content (about a second per gigabyte); None if unreadable."""
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        return None


def _fields(value: Any) -> dict[str, Any]:
    found = {}
    for one in attrs.fields(type(value)):
        described = _field(one, getattr(value, one.name))
        if one.init and described != _field(one, one.default):
            found[one.name] = described
    return found


def _field(one: attrs.Attribute[Any], value: Any) -> Any:
    """Describe a field; a part given by name equals the object."""
    parameter = one.metadata.get(PARAMETER)
    registry = None if parameter is None else parameter.registry
    return identity_of(value if registry is None else registry.part(value))


def _state(value: Any) -> dict[str, Any]:
    """Describe the state of another object: its repr, or its public attributes."""
    shown = repr(value)
    if " at 0x" not in shown:
        return {"repr": shown}
    state = getattr(value, "__dict__", {})
    return {name: identity_of(inner) for name, inner in state.items() if not name.startswith("_")}


def _name(thing: Any) -> str:
    return f"{getattr(thing, '__module__', '')}.{thing.__qualname__}"


def _source(function: Any) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        return "" if code is None else code.co_code.hex() + repr(code.co_consts)
