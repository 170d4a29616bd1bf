"""Constraints on an answer, in the spellings of all servers: a JSON schema, a grammar, a regular expression.

A dialect spells the one that the caller gave as its server wants it, since most servers ignore a field of
another's without a word.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

import attrs

from trio_beam.core.extra_body import format_fields
from trio_beam.errors import ConfigError

Kind: TypeAlias = Literal["json", "grammar", "regex", "choice", "structural_tag"]
#: A JSON schema that allows every object.
ANY_OBJECT: Mapping[str, Any] = {"type": "object"}
_KINDS: dict[str, Kind] = {
    "json_schema": "json",
    "guided_json": "json",
    "format": "json",
    "grammar": "grammar",
    "ebnf": "grammar",
    "guided_grammar": "grammar",
    "regex": "regex",
    "guided_regex": "regex",
    "guided_choice": "choice",
    "structural_tag": "structural_tag",
}
#: Members of vLLM's ``structured_outputs``.
_STRUCTURED: tuple[Kind, ...] = ("json", "grammar", "regex", "choice", "structural_tag")


@attrs.frozen
class Constraint:
    """A constraint on an answer.

    Attributes:
        field: the caller's field.
        kind: how `value` describes it.
        value: a JSON schema; the text of a grammar (EBNF) or regular expression; texts to choose from.
    """

    field: str
    kind: Kind
    value: Any

    def as_grammar(self) -> str:
        """Return a choice as a grammar in the notation of llama.cpp."""
        return "root ::= " + " | ".join(json.dumps(str(one)) for one in self.value)

    def unsupported(self, server: str, instead: str) -> ConfigError:
        """Return the error for a server that cannot apply it."""
        error = ConfigError("extra_body", f"without {self.field!r}", self.value)
        error.args = (
            f"extra_body cannot have {self.field!r}: {server} does not know it; use {instead}",
        )
        return error


def constraint_of(fields: Mapping[str, Any]) -> Constraint | None:
    """Return the constraint among a request's fields.

    Raises:
        ConfigError: there is more than one, or one is of an unknown form.
    """
    found = list(_constraints(format_fields(fields)))
    if len(found) > 1:
        names = " and ".join(repr(one.field) for one in found)
        error = ConfigError("extra_body", "with at most one constraint", names)
        error.args = (f"extra_body has {names}: an answer can have one constraint only",)
        raise error
    return found[0] if found else None


def _constraints(given: Mapping[str, Any]) -> Iterator[Constraint]:
    for name, value in given.items():
        if name == "response_format":
            yield _of_response_format(value)
        elif name == "structured_outputs":
            yield _of_structured_outputs(value)
        elif name in _KINDS:
            kind = _KINDS[name]
            yield Constraint(name, kind, _schema(name, value) if kind == "json" else value)


def _of_response_format(given: Any) -> Constraint:
    name = "response_format"
    match given:
        case {"type": "json_schema", "json_schema": {"schema": schema}}:
            return Constraint(name, "json", _schema(name, schema))
        case {"type": "json_schema" | "json_object", "schema": schema}:
            return Constraint(name, "json", _schema(name, schema))
        case {"type": "json_object"}:
            return Constraint(name, "json", ANY_OBJECT)
        case {"type": "structural_tag"}:
            return Constraint(name, "structural_tag", given)
        case {"type": "grammar", "grammar": str(grammar)}:
            return Constraint(name, "grammar", grammar)
    bound = "with a response_format of type 'text', 'json_object' or 'json_schema' (and its schema)"
    raise ConfigError("extra_body", bound, given)


def _of_structured_outputs(given: Any) -> Constraint:
    name = "structured_outputs"
    if isinstance(given, Mapping):
        for kind in _STRUCTURED:
            if given.get(kind):
                value = given[kind]
                return Constraint(name, kind, _schema(name, value) if kind == "json" else value)
        if given.get("json_object"):
            return Constraint(name, "json", ANY_OBJECT)
    raise ConfigError("extra_body", f"with structured_outputs of {', '.join(_STRUCTURED)}", given)


def _schema(field: str, value: Any) -> Any:
    """Return a JSON schema, which some servers take as a text, or as the word ``json``."""
    if value == "json":
        return ANY_OBJECT
    try:
        schema = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        schema = None
    if not isinstance(schema, (Mapping, bool)):
        raise ConfigError("extra_body", f"with a JSON schema as {field!r}", value)
    return schema


def template_arguments(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``chat_template_kwargs`` as vLLM's chat call would make them of a request's fields.

    Its ``/tokenize``, which renders a chat, does not know ``reasoning_effort``.
    """
    effort = fields.get("reasoning_effort")
    if effort is None:
        return {}
    given = fields.get("chat_template_kwargs") or {}
    made = {"reasoning_effort": effort, "enable_thinking": effort != "none", **given}
    return {"chat_template_kwargs": made}
