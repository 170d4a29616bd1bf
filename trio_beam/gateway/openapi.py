"""The OpenAPI document, generated from the declarations of fields and strategies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import attrs

from trio_beam.core.parameters import Option
from trio_beam.core.validation import Parameter, parameters_of
from trio_beam.gateway.aliases import NAME
from trio_beam.gateway.fields import (
    PROMPT_SCHEMAS,
    TAKEN_AS,
    WITHOUT_EFFECT,
    ChatFields,
    CompletionFields,
    StreamOptions,
)
from trio_beam.gateway.passed import PASSED
from trio_beam.gateway.request import WITHIN, WITHIN_HEADER
from trio_beam.strategies import STRATEGIES, strategy_options

_TYPES: dict[str, dict[str, Any]] = {
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "text": {"type": "string", "minLength": 1},
    "mapping": {"type": "object"},
}
#: Why a request may be refused.
_REFUSALS = {
    "400": "A field is not valid; param names it.",
    "401": "The key is missing or wrong.",
    "403": "A web page, or another host's name, without a key.",
    "404": "There is no such model or strategy.",
    "408": "The body did not come in time.",
    "413": "The body is too large.",
    "415": "The body is encoded.",
    "429": "Too many searches; Retry-After says when to come again.",
    "500": "A bug of the gateway.",
    "502": "The model server failed.",
    "503": "The gateway stops.",
    "504": "The deadline has passed before anything came.",
}


def openapi_document(names: Sequence[str] = (), pattern: str = "") -> dict[str, Any]:
    """Return the document.

    Args:
        names: models to choose from.
        pattern: of all names that a model may have; "" if unknown.
    """
    model: dict[str, Any] = {"type": "string", "minLength": 1}
    if pattern:
        model = {"anyOf": [{"enum": list(names)}, {"type": "string", "pattern": pattern}]}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "trio_beam gateway",
            "version": version("trio-beam"),
            "description": "Searches over a language model, behind the OpenAI protocol.",
        },
        "paths": {
            "/v1/chat/completions": {"post": _call(ChatFields, model)},
            "/v1/completions": {"post": _call(CompletionFields, model)},
            "/v1/models": {"get": _get("listModels", "The model, alone and with strategies.")},
            "/v1/models/{name}": {
                "get": {
                    **_get("retrieveModel", "One of the names."),
                    "parameters": [
                        {
                            "name": "name",
                            "in": "path",
                            "required": True,
                            "schema": model,
                        }
                    ],
                }
            },
            "/health": {"get": _get("health", "Whether a model server is there.")},
            "/metrics": {"get": _metrics()},
        },
        "components": {
            "schemas": {
                "Search": search_schema(),
                "Error": _error_schema(),
            },
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}, {}],
    }


def search_schema() -> dict[str, Any]:
    """Return the schema of the field ``search``: the parameters of all strategies."""
    owners: dict[str, list[str]] = {}
    options: dict[str, Option] = {}
    for strategy in STRATEGIES.names():
        for option in strategy_options(strategy):
            owners.setdefault(option.name, []).append(strategy)
            options.setdefault(option.name, option)
    everywhere = len(STRATEGIES.names())
    properties = {
        NAME: {"type": "string", "examples": STRATEGIES.names()},
        WITHIN: {
            "type": "number",
            "exclusiveMinimum": 0,
            "description": f"Seconds after which the best so far is returned; or header {WITHIN_HEADER}.",
        },
    }
    for name, option in options.items():
        only = "" if len(owners[name]) == everywhere else f" [{', '.join(owners[name])}]"
        properties[name] = _described(option.parameter, option.parameter.help + only)
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _call(fields: type[ChatFields | CompletionFields], model: dict[str, Any]) -> dict[str, Any]:
    chat = fields is ChatFields
    properties = {
        field: {**_described(parameter, parameter.help), **PROMPT_SCHEMAS.get(field, {})}
        for field, parameter in parameters_of(fields).items()
    }
    properties["model"] = {**model, "description": properties["model"]["description"]}
    properties["search"] = {"$ref": "#/components/schemas/Search"}
    properties["stream_options"] = {
        "type": "object",
        "properties": {
            field: _described(one, one.help) for field, one in parameters_of(StreamOptions).items()
        },
        "additionalProperties": False,
    }
    for field, passed in PASSED["chat" if chat else "completions"].items():
        properties[field] = {
            "anyOf": [dict(passed.schema), {"type": "null"}],
            "description": passed.help,
        }
    for field, (values, why) in TAKEN_AS.items():
        properties.setdefault(field, {"enum": list(values), "description": f"Why: {why}."})
    for field in sorted(WITHOUT_EFFECT):
        properties.setdefault(field, {"description": "Has no effect."})
    required = [one.name for one in attrs.fields(fields) if one.default is attrs.NOTHING]
    body = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    whole = {
        "type": "object",
        "required": ["id", "object", "created", "model", "choices", "usage", "trio_beam"],
        "properties": {"object": {"const": "chat.completion" if chat else "text_completion"}},
    }
    deadline = {
        "name": WITHIN_HEADER,
        "in": "header",
        "schema": {"type": "number", "exclusiveMinimum": 0},
    }
    return {
        "operationId": "chat" if chat else "completions",
        "parameters": [deadline],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {
                "description": "The best n beams; with stream, chunks as server-sent events.",
                "content": {"application/json": {"schema": whole}, "text/event-stream": {}},
            },
            **_refusals(*_REFUSALS),
        },
    }


def _get(name: str, words: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"type": "object"}}}
    refusals = _refusals("401", "403", "404", "500", "502", "504")
    if name == "health":
        refusals = {"503": {"description": "No model server is there.", "content": content}}
    return {
        "operationId": name,
        "responses": {"200": {"description": words, "content": content}, **refusals},
    }


def _metrics() -> dict[str, Any]:
    words = "What Prometheus reads."
    return {
        "operationId": "metrics",
        "responses": {
            "200": {"description": words, "content": {"text/plain": {}}},
            **_refusals("401", "403", "500"),
        },
    }


def _refusals(*statuses: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {one: {"description": _REFUSALS[one], "content": content} for one in statuses}


def _error_schema() -> dict[str, Any]:
    text = {"type": ["string", "null"]}
    error = {
        "type": "object",
        "properties": {
            "message": {"type": "string"},
            "type": {"type": "string"},
            "param": text,
            "code": text,
        },
        "required": ["message", "type", "param", "code"],
    }
    return {"type": "object", "properties": {"error": error}, "required": ["error"]}


def _described(parameter: Parameter, words: str) -> dict[str, Any]:
    unit = f" ({parameter.unit})" if parameter.unit else ""
    return {**_schema(parameter), "description": words + unit}


def _schema(parameter: Parameter) -> dict[str, Any]:
    schema = _of_kind(parameter)
    if parameter.kind in ("integer", "number"):
        if parameter.minimum > -math.inf:
            schema["exclusiveMinimum" if parameter.above else "minimum"] = parameter.minimum
        if parameter.maximum < math.inf:
            schema["maximum"] = parameter.maximum
        if parameter.choices:
            schema = {"anyOf": [schema, {"enum": list(parameter.choices)}]}
    return {"anyOf": [schema, {"type": "null"}]} if parameter.optional else schema


def _of_kind(parameter: Parameter) -> dict[str, Any]:
    match parameter.kind:
        case "choice":
            return {"enum": list(parameter.choices)}
        case "texts":
            text = {"type": "string", "minLength": 1}
            return {"anyOf": [text, {"type": "array", "items": text}]}
        case "part" if parameter.registry is not None:
            named = {"enum": parameter.registry.names()}
            return {"anyOf": [named, {"type": "object", "required": ["name"]}]}
        case "part":
            return {}
        case kind:
            return dict(_TYPES[kind])
