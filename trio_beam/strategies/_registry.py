"""The registry of strategies, and building one from a name and plain values."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeAlias, TypeVar, get_type_hints

from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.mcmc_config import McmcConfig
from trio_beam.core.parameters import Option, build, options_of
from trio_beam.core.registry import Registry
from trio_beam.core.strategy import Strategy
from trio_beam.core.validation import Parameter
from trio_beam.errors import ConfigError

#: A configuration class, or a function that returns a configuration.
Preset: TypeAlias = Callable[..., Strategy]
S = TypeVar("S", bound=Strategy)
P = ParamSpec("P")

STRATEGIES: Registry[Preset] = Registry("strategy")
STRATEGIES.register("beam_search")(BeamSearchConfig)
STRATEGIES.register("mcmc")(McmcConfig)


def preset(name: str) -> Callable[[Callable[P, S]], Callable[P, S]]:
    """Return a decorator that registers a preset and validates its declared arguments.

    An argument is declared by a `Parameter` in its annotation.
    """

    def add(function: Callable[P, S]) -> Callable[P, S]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> S:
            given = signature.bind(*args, **kwargs).arguments
            for option in _own_options(function):
                if option.name in given and not isinstance(given[option.name], str):
                    option.parameter.check(option.name, given[option.name])
            return function(*args, **kwargs)

        return STRATEGIES.register(name)(checked)

    return add


def strategy_options(name: str) -> list[Option]:
    """Return all options of a strategy: a preset's own first, then those of its configuration.

    Raises:
        ConfigError: there is no strategy with that name.
    """
    preset = STRATEGIES[name]
    own = _own_options(preset)
    names = {option.name for option in own}
    return own + [one for one in options_of(_configuration(preset)) if one.name not in names]


def make_strategy(name: str, values: Mapping[str, Any]) -> Strategy:
    """Build a strategy from plain values, named as in `strategy_options`.

    Raises:
        ConfigError: the name is unknown, or a value is out of bounds, unknown or without effect.
    """
    preset = STRATEGIES[name]
    if isinstance(preset, type):
        made: Strategy = build(preset, values)
    else:
        made = preset(**values)
    _check_effect(made, strategy_options(name), values)
    return made


def _check_effect(made: Strategy, options: Sequence[Option], values: Mapping[str, Any]) -> None:
    """Refuse values that change nothing beside the others, unless they are the defaults.

    Raises:
        ConfigError: names the first.
    """
    reasons = made.without_effect()
    known = {option.name: option for option in options}
    for name in [*known, *(values.keys() - known)]:  # a part may be given by the name of its slot
        slot, default = name, None
        if name in known:
            slot, default = known[name].slot or name, known[name].default
        reason, given = reasons.get(name, reasons.get(slot)), values.get(name, default)
        if reason is not None and given != default:
            error = ConfigError(name, "left out", given)
            error.args = (f"{name} has no effect here: {reason}",)
            raise error


def strategy_name(strategy: Strategy) -> str:
    """Return the name of a strategy's configuration class."""
    return next(name for name in STRATEGIES.names() if STRATEGIES[name] is type(strategy))


def evolve(owner: type[S], others: Mapping[str, Any], **fixed: Any) -> S:
    """Build the configuration of a preset.

    Args:
        owner: the configuration class.
        others: the caller's further parameters.
        fixed: the parameters that the preset sets.

    Raises:
        ConfigError: the caller gave a parameter that the preset sets, or a value is out of bounds.
    """
    # The parameters of a part that the preset leaves out would bring it back.
    left_out = {one.name: None for one in options_of(owner) if fixed.get(one.slot, one) is None}
    for name, value in {**left_out, **fixed}.items():
        if name in others:
            error = ConfigError(name, "left out: the strategy sets it", others[name])
            whole = "" if name in fixed else f" {name.partition('_')[0]}"
            error.args = (
                f"{name} has no effect here: the strategy sets{whole or ' it'} to {value!r}",
            )
            raise error
    return build(owner, {**others, **fixed})


def one_block(others: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that make texts of any length a single block."""
    longest = others.get("max_tokens", BeamSearchConfig().max_tokens)
    return {"tokens_per_step": longest, "n_per_beam": 1, "block": None}


def _own_options(preset: Preset) -> list[Option]:
    """Return a preset's own parameters, from its annotations."""
    if isinstance(preset, type):
        return []
    hints = get_type_hints(preset, include_extras=True)
    return [
        Option(name=name, parameter=extra, default=argument.default)
        for name, argument in inspect.signature(preset).parameters.items()
        for extra in getattr(hints.get(name), "__metadata__", ())
        if isinstance(extra, Parameter)
    ]


def _configuration(preset: Preset) -> type[Strategy]:
    """Return the configuration class of a strategy or preset."""
    if isinstance(preset, type):
        return preset
    configuration: type[Strategy] = get_type_hints(preset)["return"]
    return configuration
