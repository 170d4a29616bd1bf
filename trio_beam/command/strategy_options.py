"""Generate command options from the declared parameters of all strategies."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import attrs
import click

from trio_beam.core.parameters import Option
from trio_beam.core.strategy import Strategy
from trio_beam.core.validation import Parameter
from trio_beam.errors import ConfigError
from trio_beam.strategies import STRATEGIES, make_strategy, strategy_options

F = TypeVar("F", bound=Callable[..., Any])
_TRUTH_WORDS = {"true": True, "false": False}
#: The usual name of the sampling temperature, which presets use too.
_TEMPERATURE, _PROPOSAL = "temperature", "proposal_temperature"


def strategy_parameters(function: F) -> F:
    """Decorate a command with ``--strategy`` and an option for each parameter of each strategy."""
    for option in reversed(_all_options()):
        function = _click_option(option)(function)
    names = STRATEGIES.names()
    return click.option(
        "--strategy",
        type=click.Choice(names),
        default="beam_search",
        show_default=True,
        help="The search to run.",
    )(function)


def strategy_from(ctx: click.Context, given: Mapping[str, Any], **more: Any) -> Strategy:
    """Build a command's strategy from the given options.

    Args:
        ctx: the command's context.
        given: the command's arguments.
        more: further parameters.

    Raises:
        ConfigError: a value is out of bounds, or an option has no effect with this strategy.
    """
    name = given["strategy"]
    known = {option.name for option in strategy_options(name)}
    values = dict(more)
    for option in _all_options():
        if ctx.get_parameter_source(option.name) is click.core.ParameterSource.DEFAULT:
            continue
        key = option.name
        if key == _TEMPERATURE and key not in known:
            key = _PROPOSAL
        if key not in known:
            error = ConfigError(key, "left out", None)
            error.args = (f"{key} has no effect with the strategy {name!r}",)
            raise error
        value = given[option.name]
        values[key] = _TRUTH_WORDS.get(value, value) if option.parameter.kind == "choice" else value
    return make_strategy(name, values)


def _all_options() -> list[Option]:
    """Return the options of all strategies, each name once."""
    found: dict[str, Option] = {}
    for name in ("beam_search", *STRATEGIES.names()):
        for option in strategy_options(name):
            found.setdefault(option.name, option)
    return list(found.values())


def _click_option(option: Option) -> Callable[[F], F]:
    parameter, name = option.parameter, option.name.replace("_", "-")
    words = parameter.help + (f" In {parameter.unit}." if parameter.unit else "")
    if option.part:
        words = f"[{option.part}] {words}"
    if option.default not in (None, (), attrs.NOTHING, inspect.Parameter.empty):
        words += f"  [default: {_as_text(option.default)}]"
    if parameter.kind == "boolean":
        return click.option(f"--{name}/--no-{name}", option.name, default=None, help=words)
    if parameter.kind == "texts":
        return click.option(f"--{name}", option.name, multiple=True, metavar="TEXT", help=words)
    kind = _click_type(parameter)
    return click.option(f"--{name}", option.name, type=kind, default=None, help=words)


def _as_text(value: Any) -> str:
    """Return a value as written on the command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _click_type(parameter: Parameter) -> Any:
    match parameter.kind:
        case "integer":
            return int
        case "number":
            return float
        case "choice":
            return click.Choice([_as_text(choice) for choice in parameter.choices])
        case "part" if parameter.registry is not None:
            return click.Choice(parameter.registry.names())
        case _:
            return str
