"""Read values of keys from a command line or YAML, and write them as YAML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from trio_beam.benchmark.common.nearest import nearest_keys
from trio_beam.benchmark.keys import Key
from trio_beam.core.validation import Parameter
from trio_beam.errors import ConfigError

_KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "mapping": "a mapping",
}
_SWEEP = " (several values are a sweep: add -m)"


def read_text(key: Key, text: str) -> Any:
    """Read a value from a command line.

    Texts are taken verbatim unless quoted; anything else is YAML.

    Raises:
        ConfigError: it has the wrong type.
    """
    parameter = key.parameter
    if _is_text(parameter) and not text.startswith(("'", '"', *_openings(parameter))):
        return check_value(key, None if parameter.optional and text == "null" else text)
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(key.name, _wanted(parameter, text), text) from None
    return check_value(key, value)


def check_value(key: Key, value: Any) -> Any:
    """Convert a value from YAML to the type of its key, without checking its bounds.

    Raises:
        ConfigError: it has the wrong type.
    """
    parameter = key.parameter
    if value is None and parameter.optional:
        return None
    if any(
        value is choice or (isinstance(value, str) and value == choice)
        for choice in parameter.choices
    ):
        return value
    converted = _convert(parameter, value)
    if converted is None:
        raise ConfigError(key.name, _wanted(parameter, value), value)
    return converted


def write_value(value: Any) -> str:
    """Return a value as YAML in one line."""
    if isinstance(value, str) and "\n" in value:
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, tuple):
        value = list(value)
    written = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
    return str(written).removesuffix("\n").removesuffix("\n...")


def _convert(parameter: Parameter, value: Any) -> Any:
    """Convert a value to the parameter's type; return None if that is impossible."""
    match parameter.kind:
        case "integer" | "number":
            return _as_number(parameter, value)
        case "boolean":
            return value if isinstance(value, bool) else None
        case "texts":
            return _as_texts(value)
        case "part" | "mapping" if isinstance(value, Mapping):
            return dict(value)
        case kind:
            written = isinstance(value, (str, int, float)) and kind not in ("choice", "mapping")
            return str(value) if written else None


def _as_texts(value: Any) -> tuple[str, ...] | None:
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, (list, tuple)) or not all(isinstance(one, str) for one in given):
        return None
    return tuple(given)


def _as_number(parameter: Parameter, value: Any) -> int | float | None:
    whole = parameter.kind == "integer"
    if isinstance(value, str):  # YAML reads 1e-3 as text
        try:
            value = int(value) if whole else float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        return None
    try:
        return value if whole else float(value)
    except OverflowError:
        return None


def _is_text(parameter: Parameter) -> bool:
    if parameter.kind == "choice":
        return all(isinstance(choice, str) for choice in parameter.choices)
    return parameter.kind not in _KINDS


def _openings(parameter: Parameter) -> tuple[str, ...]:
    """Return first characters that mark a value as YAML although its kind is mostly text."""
    return {"texts": ("[",), "part": ("{",)}.get(parameter.kind, ())


def _wanted(parameter: Parameter, value: Any) -> str:
    choices = [write_value(choice) for choice in parameter.choices]
    if parameter.kind == "choice":
        wanted = f"one of {', '.join(choices)}" if len(choices) > 1 else parameter.help
        near = nearest_keys(value, choices) if isinstance(value, str) else []
        wanted += f" (did you mean {near[0]}?)" if near else ""
    else:
        kind = _KINDS.get(parameter.kind, parameter.accepted or "a text")
        wanted = " or ".join([choice for choice in choices if choice != "''"] + [kind])
    wanted += " or null" if parameter.optional else ""
    return wanted + (_SWEEP if isinstance(value, str) and "," in value else "")
