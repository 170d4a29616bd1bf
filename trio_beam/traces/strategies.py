"""Strategies as plain values, and back as far as plain values go.

A part is an object with its registered ``name``. What no file can hold (a function, an endpoint) is an object
with ``unwritten``, its name. Such a scorer is replaced by the scores that the trace has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import attrs

from trio_beam.answers.vote import LastMatch, tool_calls
from trio_beam.core.answer_rule import ANSWERS
from trio_beam.core.beam import Beam
from trio_beam.core.config import SELECTIONS
from trio_beam.core.delimiters import BLOCKS
from trio_beam.core.model_scorer import ModelScorer
from trio_beam.core.registry import Registry
from trio_beam.core.reward_scorer import RewardScorer
from trio_beam.core.scorer import SCORERS
from trio_beam.core.scoring import is_async, name_of
from trio_beam.core.strategy import Strategy
from trio_beam.core.validation import Parameter, parameters_of
from trio_beam.traces.format import integer
from trio_beam.traces.values import beam_from_plain, beam_to_plain

UNWRITTEN = "unwritten"
_KIND, _NAME, _FUNCTION, _REFERENCE = "strategy", "name", "function", "reference"
_REGISTRIES: Mapping[str, Registry[Any]] = {
    "selection": SELECTIONS,
    "scorer": SCORERS,
    "answer": ANSWERS,
    "block": BLOCKS,
}


class CannotRebuild(Exception):
    """A strategy has something that a trace cannot hold, or that only a later program knows."""


def strategy_to_plain(strategy: Strategy, *, texts: bool = True) -> dict[str, Any]:
    """Return a strategy with the values of all its parameters; without texts, not that of a reference."""
    plain = {_KIND: type(strategy).__name__} | _fields(strategy)
    if not texts and isinstance(plain.get("selection"), dict):
        reference = plain["selection"].get(_REFERENCE)
        if reference is not None:
            plain["selection"][_REFERENCE] = {UNWRITTEN: "left out"}
    return plain


def _fields(owner: Any) -> dict[str, Any]:
    values = {
        field.name: getattr(owner, field.name)
        for field in attrs.fields(type(owner))
        if field.init and not field.name.startswith("_")
    }
    declared = parameters_of(type(owner))
    return {name: _plain(name, value, declared.get(name)) for name, value in values.items()}


def _plain(slot: str, value: Any, declared: Parameter | None = None) -> Any:
    match value:
        case str() if slot in _REGISTRIES:
            return _part(slot, _REGISTRIES[slot].part(value))
        case None | bool() | float() | str():
            return value
        case int():
            return integer(value)
        case list() | tuple():
            return [_plain(slot, one) for one in value]
        case Mapping():
            return {str(key): _plain(slot, one) for key, one in value.items()}
        case _:
            return _part(slot, value, declared)


def _part(slot: str, value: Any, declared: Parameter | None = None) -> Any:
    if isinstance(value, Beam):
        return beam_to_plain(value)
    if isinstance(value, LastMatch):
        return value.pattern
    if value is tool_calls:
        return {_FUNCTION: tool_calls.__name__}
    registry = _REGISTRIES.get(slot)
    if registry is None and declared is not None and type(value) is declared.part:
        return _fields(value)  # the only class that there may be
    names = registry.names() if registry is not None and attrs.has(type(value)) else []
    for name in names:
        if registry is not None and registry[name] is type(value):
            return {_NAME: name} | _fields(value)
    return {UNWRITTEN: name_of(value)} | (_traits(value) if slot == "scorer" else {})


def _traits(scorer: Any) -> dict[str, bool]:
    """Return what a search must know of a scorer that no file can hold."""
    return {
        "is_async": is_async(scorer),
        "asks": isinstance(scorer, (ModelScorer, RewardScorer)),
        "needs_logprobs": bool(getattr(scorer, "needs_logprobs", False)),
        "ranks_siblings": bool(getattr(scorer, "ranks_siblings", False)),
    }


def strategy_from_plain(plain: Mapping[str, Any], scorer: Any) -> Strategy:
    """Return the strategy.

    Args:
        plain: of `strategy_to_plain`.
        scorer: makes a scorer that stands in for a function, from what is known of that.

    Raises:
        CannotRebuild: it has something that a trace cannot hold, or is of an unknown class.
    """
    kinds = {one.__name__: one for one in _subclasses(Strategy)}
    values = dict(plain)
    kind = kinds.get(values.pop(_KIND, ""))
    if kind is None:
        raise _unknown("the strategy", plain.get(_KIND))
    given = values.get("scorer")
    if isinstance(given, Mapping) and UNWRITTEN in given:
        if given.get("asks"):
            _refuse("scorer", given)
        values["scorer"] = scorer(given)
    return kind(**_values(kind, values))


def _values(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    declared = parameters_of(kind)
    known = {field.name for field in attrs.fields(kind)}
    for name, value in values.items():
        if name not in known:
            raise _unknown(name, value)
    return {name: _value(name, value, declared.get(name)) for name, value in values.items()}


def _subclasses(kind: type[Strategy]) -> list[type[Strategy]]:
    return [one for sub in kind.__subclasses__() for one in (sub, *_subclasses(sub))]


def _value(slot: str, value: Any, declared: Parameter | None) -> Any:
    if not isinstance(value, Mapping):
        if isinstance(value, str) and declared is not None and declared.kind == "integer":
            return int(value)
        return tuple(value) if isinstance(value, list) else value
    if UNWRITTEN in value:
        _refuse(slot, value)
    if slot == _REFERENCE:
        return beam_from_plain(value)
    if value.get(_FUNCTION) == tool_calls.__name__:
        return tool_calls
    registry = _REGISTRIES.get(slot)
    if registry is None:
        only = declared.part if declared is not None else None
        return value if only is None else only(**_values(only, value))
    if value.get(_NAME) not in registry:
        raise _unknown(slot, value.get(_NAME))
    kind = registry[value[_NAME]]
    return kind(**_arguments(kind, {name: one for name, one in value.items() if name != _NAME}))


def _arguments(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments for a part; models that it would ask are not needed to decide again."""
    declared = parameters_of(kind)
    absent = {
        name
        for name, value in values.items()
        if name not in declared and isinstance(value, Mapping) and UNWRITTEN in value
    }
    arguments = _values(kind, {name: one for name, one in values.items() if name not in absent})
    if issubclass(kind, RewardScorer) and absent:
        arguments["function"] = _never_called
    return arguments


def _never_called(*_: object) -> NoReturn:
    raise AssertionError("the scores are those of the trace")


def _refuse(slot: str, value: Mapping[str, Any]) -> NoReturn:
    raise CannotRebuild(f"{slot} was {value[UNWRITTEN]}, which no file can hold")


def _unknown(slot: str, name: object) -> CannotRebuild:
    return CannotRebuild(f"{slot} was {name}, which this version of trio_beam does not know")
