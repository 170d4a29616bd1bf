"""All keys of a run, generated from declarations: those in `settings` and those of every strategy.

A registered strategy is a group with ``enabled``, ``suffix``, ``debug`` and its options, so every new
parameter becomes a key.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from trio_beam.benchmark import original
from trio_beam.benchmark.settings import BenchmarkGroup, Settings, StrategyGroup
from trio_beam.core.parameters import Option
from trio_beam.core.strategy import Strategy
from trio_beam.core.validation import PARAMETER, Parameter
from trio_beam.errors import ConfigError
from trio_beam.strategies import STRATEGIES, make_strategy, strategy_options

#: The baseline strategy, which comes first.
_BASELINE = "greedy"
#: Options that inherit from the group ``benchmark`` if null.
_SHARED = ("max_tokens", "seed")


@attrs.frozen(kw_only=True)
class Key:
    """A key of a run.

    Attributes:
        name: with its groups, such as ``beam_search.beam_width``.
        parameter: its bounds, unit and help.
        default: the default value.
        of_strategy: whether it is a parameter of a strategy, which checks its bounds if enabled.
    """

    name: str
    parameter: Parameter
    default: Any
    of_strategy: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it may have keys below it: it is a mapping, or a part with parameters."""
        has_parts = self.parameter.kind == "part" and self.parameter.part is not None
        return has_parts or self.parameter.kind == "mapping"


def strategy_groups() -> dict[str, str]:
    """Return the groups of strategies in running order, each with its strategy's name."""
    names = sorted(STRATEGIES.names(), key=lambda name: name != _BASELINE)
    return {name: name for name in names} | original.MORE_GROUPS


def own_parameters(strategy: str) -> dict[str, Any] | None:
    """Return a preset's own parameters with their defaults; None for a configuration."""
    preset = STRATEGIES[strategy]
    if isinstance(preset, type):
        return None
    found = inspect.signature(preset).parameters.values()
    return {one.name: one.default for one in found if one.kind is not one.VAR_KEYWORD}


def all_keys() -> dict[str, Key]:
    """Return all keys by name, group by group."""
    settings = Settings()
    found: list[Key] = []
    for attribute in attrs.fields(Settings):
        group = getattr(settings, attribute.name)
        if attribute.name == "strategies":
            for name, strategy in strategy_groups().items():
                found += _strategy_keys(name, strategy)
        else:
            found += declared_keys(group, f"{attribute.name}.")
    return {key.name: key for key in found}


def all_names(keys: Mapping[str, Key]) -> list[str]:
    """Return all accepted names, including aliases."""
    aliases = [alias for alias, name in original.KEYS.items() if name in keys]
    for alias, group in original.GROUPS.items():
        aliases += [
            alias + name.removeprefix(group) for name in keys if name.startswith(f"{group}.")
        ]
    return [*keys, *aliases]


def canonical(name: str) -> str:
    """Resolve an alias to its key."""
    group, dot, rest = name.partition(".")
    name = original.GROUPS.get(group, group) + dot + rest
    return original.KEYS.get(name, name)


def declared_keys(owner: Any, prefix: str) -> Iterator[Key]:
    """Yield the keys of an object's declared fields, and of those of the objects in it."""
    for attribute in attrs.fields(type(owner)):
        value = getattr(owner, attribute.name)
        name = prefix + attribute.name
        if PARAMETER in attribute.metadata:
            yield Key(name=name, parameter=attribute.metadata[PARAMETER], default=value)
        elif attrs.has(type(value)):
            yield from declared_keys(value, f"{name}.")
        else:
            # A table of objects: its rows are keys beside the fields.
            for row, inner in value.items():
                if attrs.has(type(inner)):
                    yield from declared_keys(inner, f"{prefix}{row}.")


def _strategy_keys(group: str, strategy: str) -> Iterator[Key]:
    prefix = f"{group}."
    own = [*declared_keys(StrategyGroup(), prefix), *_option_keys(prefix, strategy)]
    for name, extra in original.EXTRA.get(group, {}).items():
        own.append(Key(name=prefix + name, parameter=extra.parameter, default=extra.default))
    for key in own:
        yield attrs.evolve(key, default=original.DEFAULTS.get(key.name, key.default))


def _option_keys(prefix: str, strategy: str) -> Iterator[Key]:
    made = _made(strategy)
    for option in strategy_options(strategy):
        parameter = option.parameter
        if option.name in _SHARED:
            help_ = f"Instead of benchmark.{option.name}, for this strategy alone."
            parameter = attrs.evolve(parameter, optional=True, help=help_)
        default = None if option.name in _SHARED else _default(option, made)
        if default is None:
            parameter = attrs.evolve(parameter, optional=True)
        yield Key(name=prefix + option.name, parameter=parameter, default=default, of_strategy=True)


def _made(strategy: str) -> Strategy | None:
    """Return the strategy with its defaults; None if a parameter has no default."""
    try:
        return make_strategy(strategy, {"max_tokens": BenchmarkGroup().max_tokens})
    except (ConfigError, TypeError):
        return None


def _default(option: Option, made: Strategy | None) -> Any:
    """Return the default of an option, which a preset may set differently from the configuration."""
    missing = option.default in (attrs.NOTHING, inspect.Parameter.empty)
    default = None if missing else option.default
    found = default if option.part else getattr(made, option.name, default)
    return default if attrs.has(type(found)) else found  # a part that the preset builds itself
