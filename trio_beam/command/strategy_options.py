"""Generate command options from the declared parameters of all strategies."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import attrs
import click

from trio_beam.command.help import Choice, in_options, option, switch_or_number
from trio_beam.command.request_options import parse_body
from trio_beam.core.parameters import Option
from trio_beam.core.strategy import Strategy
from trio_beam.core.validation import Parameter
from trio_beam.errors import ConfigError
from trio_beam.strategies import STRATEGIES, make_strategy, strategy_options

F = TypeVar("F", bound=Callable[..., Any])
_BEAM_SEARCH = {one.name for one in strategy_options("beam_search")}
_TRUTH_WORDS = {"true": True, "false": False}
#: The usual name of the sampling temperature, which presets use too.
_TEMPERATURE, _PROPOSAL = "temperature", "proposal_temperature"


def strategy_parameters(function: F) -> F:
    """Decorate a command with ``--strategy`` and an option for each parameter of each strategy."""
    options = _all_options()
    names = {one.name: _spelling(one.name) for one in options if "_" in one.name}
    for one in reversed(options):
        function = _click_option(one, names)(function)
    return option(
        "search",
        "--strategy",
        type=Choice(STRATEGIES.names()),
        metavar="NAME",
        default="beam_search",
        show_default=True,
        help=f"The search to run: {', '.join(STRATEGIES.names())}.",
    )(function)


def strategy_from(ctx: click.Context, given: Mapping[str, Any]) -> Strategy:
    """Build a command's strategy from the given options.

    Args:
        ctx: the command's context.
        given: the command's arguments.

    Raises:
        ConfigError: a value is out of bounds, or an option has no effect with this strategy.
    """
    return make_strategy(given["strategy"], strategy_values(ctx, given))


def strategy_values(ctx: click.Context, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a command's strategy that were given, by name.

    Raises:
        ConfigError: an option has no effect with this strategy.
    """
    name = given["strategy"]
    known = {one.name: one.parameter for one in strategy_options(name)}
    values: dict[str, Any] = {}
    for one in _all_options():
        if ctx.get_parameter_source(one.name) is click.core.ParameterSource.DEFAULT:
            continue
        key = one.name
        if key == _TEMPERATURE and key not in known:
            key = _PROPOSAL
        value = given[one.name]
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if key not in known or (known[key].kind == "boolean" and is_number):
            kind = "integer" if is_number else ""
            error = ConfigError(key, "left out", None)
            error.args = (f"{key} has no effect with the strategy {name!r}{_owners(key, kind)}",)
            raise error
        if one.parameter.kind == "choice":
            value = _TRUTH_WORDS.get(value, value)
        elif one.parameter.kind == "mapping":
            value = parse_body(value, _spelling(one.name))
        values[key] = value
    return values


def _own(name: str) -> set[str]:
    """The names of a strategy's options that a beam search has not, or not under that name."""
    return {one.name for one in strategy_options(name)} - _BEAM_SEARCH


def _all_options() -> list[Option]:
    """Return the options of all strategies, each name once."""
    found: dict[str, Option] = {}
    for name in ("beam_search", *STRATEGIES.names()):
        for one in strategy_options(name):
            found.setdefault(one.name, one)
    return list(found.values())


def _owners(key: str, kind: str) -> str:
    """The strategies that have a parameter, of a kind unless that is empty, in words."""
    found = [
        name
        for name in STRATEGIES.names()
        if any(
            one.name == key and kind in ("", one.parameter.kind) for one in strategy_options(name)
        )
    ]
    return f": it belongs to --strategy {', '.join(found)}" if found else ""


def _spelling(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _click_option(one: Option, names: Mapping[str, str]) -> Callable[[F], F]:
    parameter, spelling = one.parameter, _spelling(one.name)
    topic = "answer" if one.slot == "answer" else parameter.topic
    words = in_options(parameter.help, names)
    if one.slot:
        words = words if one.name == one.part else f"[{one.part}] {words}"
    elif one.name == _TEMPERATURE:
        words += f" The same as {_spelling(_PROPOSAL)}."
    elif one.name not in _BEAM_SEARCH:
        owners = [name for name in STRATEGIES.names() if one.name in _own(name)]
        words = f"[{', '.join(owners)}] {words}"
    if default := _default(one):
        words += f"  [default: {default}]"
    if parameter.kind == "boolean":
        if one.part == one.name:
            return _switch(one, topic, spelling, words)
        return option(topic, f"{spelling}/--no-{spelling[2:]}", one.name, default=None, help=words)
    if parameter.kind == "texts":
        return option(topic, spelling, one.name, multiple=True, metavar="TEXT", help=words)
    kind, metavar = _click_type(parameter)
    return option(topic, spelling, one.name, type=kind, metavar=metavar, default=None, help=words)


def _switch(one: Option, topic: str, spelling: str, words: str) -> Callable[[F], F]:
    """Return the option of a part that is there or not; it may be a number in another strategy."""
    for name in STRATEGIES.names():
        for other in strategy_options(name):
            if other.name == one.name and other.parameter.kind == "integer":
                words = f"[{name}] {other.parameter.help} Without N: {words}"
                return switch_or_number(topic, spelling, one.name, help=words)
    return option(topic, spelling, one.name, is_flag=True, default=None, help=words)


def _default(one: Option) -> str:
    """The default, as it is written at the command line; "" for none, or one of several lines."""
    if one.default in (None, (), {}, attrs.NOTHING, inspect.Parameter.empty):
        return ""
    value = " ".join(one.default) if isinstance(one.default, tuple) else _as_text(one.default)
    return "" if "\n" in value else value


def _as_text(value: Any) -> str:
    """Return a value as written on the command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)


class _NumberOrWord(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.2 on
    """A number, or one of a few words."""

    name = "number"

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if value in self._words:
            return value
        try:
            return float(value)
        except ValueError:
            words = ", ".join(map(repr, self._words))
            self.fail(f"{value!r} is neither a number nor {words}", param, ctx)


def _click_type(parameter: Parameter) -> tuple[Any, str | None]:
    """The type of an option, and the word for its value; None: click's own."""
    unit = parameter.unit.upper()
    match parameter.kind:
        case "integer":
            return int, unit or "N"
        case "number":
            words = parameter.choices
            return _NumberOrWord(words) if words else float, "|".join([*words, unit or "X"])
        case "choice":
            return Choice([_as_text(choice) for choice in parameter.choices]), None
        case "part" if parameter.registry is not None:
            return Choice(parameter.registry.names()), None
        case "part":
            return str, "REGEX"
        case kind:
            return str, "JSON" if kind == "mapping" else "TEXT"
