"""The strategy of a request: of its name, its field ``search``, and the protocol's fields. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import attrs

from trio_beam.core.strategy import Strategy
from trio_beam.core.validation import Parameter, as_tuple
from trio_beam.errors import ConfigError
from trio_beam.gateway.aliases import Named
from trio_beam.gateway.api_error import invalid, of_config
from trio_beam.gateway.fields import ChatFields, CompletionFields
from trio_beam.gateway.passed import Passed
from trio_beam.strategies import make_strategy, strategy_options

AnyFields: TypeAlias = ChatFields | CompletionFields


@attrs.frozen
class Given:
    """A parameter that a request gives.

    Attributes:
        parameter: its name.
        field: of the request, which the client can change.
        value: of the parameter.
    """

    parameter: str
    field: str
    value: Any


_TOP, _LOGPROBS, _BODY = "top_logprobs", "logprobs", "extra_body"
_MAX_TOKENS = Strategy().max_tokens
_TEMPERATURE, _PROPOSAL = "temperature", "proposal_temperature"
#: What goes with tools, in the newer and the former names.
_GO_WITH = {
    "tool_choice": "tools",
    "parallel_tool_calls": "tools",
    "function_call": "functions",
}
#: Values that mean nothing without tools.
_HARMLESS = ("none", "auto", True, False)
_NOTHING: tuple[Any, ...] = ([], {"type": "text"})


def strategy_of(
    named: Named,
    search: Mapping[str, Any],
    fields: AnyFields,
    passed: Mapping[str, Any],
    *,
    named_in: str | None,
    longest: int | None = None,
) -> tuple[Strategy, tuple[Given, ...]]:
    """Build a request's strategy; return it with the parameters that the request gives.

    Args:
        named: what its name stands for.
        search: overrides that.
        fields: of the protocol, which override both.
        passed: fields for the model's server; see `passed_of`.
        named_in: the field that has the name; None: it is the gateway's own default.
        longest: `max_tokens` of a request that gives none, if it is below the strategy's own.

    Raises:
        ApiError: names the field that is wrong.
    """
    for path in _servers_in(search, "search"):
        raise invalid(path, f"{path} names a server, which only the gateway's configuration may")
    known = {option.name: option.parameter for option in strategy_options(named.strategy)}
    search = with_whole_numbers(search, known)
    standard = _standard_fields(fields)
    values = {**named.values, **search}
    alias = {} if named_in is None else dict.fromkeys(named.values, named_in)
    origins = alias | {name: f"search.{name}" for name in search}
    for name, (origin, value) in standard.items():
        key = _TEMPERATURE if name == _PROPOSAL and _TEMPERATURE in known else name
        if origin == _LOGPROBS and value is True:
            continue  # no number of alternatives, so the strategy's own
        if key in search and as_tuple(search[key]) != value:
            raise invalid(origin, f"{origin} is not the same as search.{key}: which?")
        origins[key] = origin
        if value == 0 and key == _TOP:
            continue
        values[key] = value
    if longest is not None and longest < _MAX_TOKENS:
        values.setdefault("max_tokens", longest)
    if passed:
        values[_BODY] = _with_passed(values.get(_BODY), search, passed)
    given = tuple(Given(name, origins[name], values[name]) for name in origins if name in values)
    try:
        return _with_logprobs(named.strategy, values, _TOP in standard), given
    except ConfigError as error:
        first = error
    values = _without_what_is_set(named.strategy, values, search)
    try:
        return _with_logprobs(named.strategy, values, _TOP in standard), given
    except ConfigError:
        own, dot, rest = first.field.partition(".")
        raise of_config(first, origins.get(own, f"search.{own}") + dot + rest, passed) from None


def passed_of(given: Mapping[str, Any], known: Mapping[str, Passed]) -> dict[str, Any]:
    """Return the fields of a request for the model's server.

    Args:
        given: the fields as they came.
        known: each with the values that it may have.

    Raises:
        ApiError: a field has another value, or goes with one that is not there.
    """
    for name, value in given.items():
        if not known[name].accepts(value):
            shown = repr(value)[:200]
            raise invalid(name, f"{name} must be {known[name].accepted}, not {shown}")
    passed = {name: value for name, value in given.items() if value not in _NOTHING}
    for name, other in _GO_WITH.items():
        if name in passed and other not in passed:
            if passed[name] not in _HARMLESS:
                raise invalid(name, f"{name} goes with {other}")
            del passed[name]
    return passed


def with_whole_numbers(
    values: Mapping[str, Any], parameters: Mapping[str, Parameter]
) -> dict[str, Any]:
    """Return values with integers where JSON has a whole number with a fraction, such as 16.0."""

    def read(name: str, value: Any) -> Any:
        parameter = parameters.get(name)
        is_whole = isinstance(value, float) and value.is_integer()
        return int(value) if is_whole and parameter and parameter.kind == "integer" else value

    return {name: read(name, value) for name, value in values.items()}


def _with_passed(
    own: Any, search: Mapping[str, Any], passed: Mapping[str, Any]
) -> Mapping[str, Any]:
    body = own if isinstance(own, Mapping) else {}
    for name, value in passed.items():
        if _BODY in search and name in body and body[name] != value:
            raise invalid(name, f"{name} is not the same as search.{_BODY}.{name}: which?")
    return {**body, **passed}


def _standard_fields(fields: AnyFields) -> dict[str, tuple[str, Any]]:
    """Return the parameters that fields of the protocol set, each with the field's name."""
    found: dict[str, tuple[str, Any]] = {}
    newer = getattr(fields, "max_completion_tokens", None)
    if newer is not None and fields.max_tokens not in (None, newer):
        words = "max_completion_tokens and max_tokens are the same, and cannot differ"
        raise invalid("max_completion_tokens", words)
    for parameter, origin, value in (
        ("max_tokens", "max_tokens", fields.max_tokens),
        ("max_tokens", "max_completion_tokens", newer),
        (_PROPOSAL, _TEMPERATURE, fields.temperature),
        ("seed", "seed", fields.seed),
        ("stop", "stop", fields.stop or None),
        _alternatives(fields),
    ):
        if value is not None:
            found[parameter] = (origin, value)
    return found


def _alternatives(fields: AnyFields) -> tuple[str, str, int | None]:
    """Return the number of alternatives per token, and the field that has it.

    True: log-probabilities without a number; None: no log-probabilities.
    """
    if not isinstance(fields, ChatFields):
        return (_TOP, _LOGPROBS, fields.logprobs)
    if fields.top_logprobs and not fields.logprobs:
        raise invalid(_TOP, "top_logprobs goes with logprobs: true")
    if fields.top_logprobs is None:
        return (_TOP, _LOGPROBS, fields.logprobs or None)
    return (_TOP, _TOP, fields.top_logprobs if fields.logprobs else None)


def _servers_in(value: object, path: str) -> Iterator[str]:
    """Yield the parameters that name a server: a client could reach others through the gateway."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name.endswith("base_url"):
                yield f"{path}.{name}"
            yield from _servers_in(inner, f"{path}.{name}")


def _with_logprobs(name: str, values: Mapping[str, Any], wanted: bool) -> Strategy:
    made = make_strategy(name, values)
    if wanted and not made.needs_logprobs:
        # A strategy that needs none asks for none, unless alternatives are wanted.
        return make_strategy(name, {**values, _TOP: 1})
    return made


def _without_what_is_set(
    name: str, values: dict[str, Any], search: Mapping[str, Any]
) -> dict[str, Any]:
    """Leave out a temperature that the strategy has anyway, such as 0 for ``greedy``."""
    if _PROPOSAL not in values or _PROPOSAL in search:
        return values
    rest = {key: value for key, value in values.items() if key != _PROPOSAL}
    try:
        same = make_strategy(name, rest).proposal_temperature == values[_PROPOSAL]
    except ConfigError:
        return values
    return rest if same else values
