"""Convert defaults, files and a command line to `Settings`, and settings to YAML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from trio_beam.benchmark import original
from trio_beam.benchmark.assignments import Assignments
from trio_beam.benchmark.config_files import ConfigFiles
from trio_beam.benchmark.keys import (
    Key,
    all_keys,
    canonical,
    declared_keys,
    own_parameters,
    strategy_groups,
)
from trio_beam.benchmark.overrides import Override, parse_override
from trio_beam.benchmark.settings import Settings
from trio_beam.benchmark.values import write_value


def parse_args(args: Sequence[str]) -> list[Override]:
    """Parse the ``key=value`` arguments of a command line; keys are checked when they are set.

    Raises:
        ConfigError: an argument is malformed.
    """
    return [parse_override(arg) for arg in args]


#: The former name.
parse_words = parse_args


def load_settings(
    overrides: Sequence[Override], files: Path | ConfigFiles | None = None
) -> Settings:
    """Build the settings of one run: overrides take precedence over files, files over defaults.

    Raises:
        UnknownKey: there is no key of that name.
        ConfigError: a value has the wrong type or is out of bounds; a file cannot be read.
    """
    if not isinstance(files, ConfigFiles):
        files = ConfigFiles(files, files.parent if files else None)
    chosen = {one.key: one.text for one in overrides if one.text and files.has_group(one.key)}
    made = Assignments()
    for name, value in attrs.evolve(files, chosen=chosen).leaves():
        made.set(name, value)
    for override in overrides:
        if override.key not in chosen:
            made.override(override)
    return made.settings()


def known_keys() -> tuple[str, ...]:
    """Return all keys, with their groups, in group order."""
    return tuple(all_keys())


def without_effect(settings: Settings, overrides: Sequence[Override]) -> Iterator[tuple[str, str]]:
    """Yield each override of a key whose strategy is not enabled, and its group."""
    for override in overrides:
        group, _, name = canonical(override.key).partition(".")
        strategy = settings.strategies.get(group)
        if strategy is not None and not strategy.enabled and name not in ("", "enabled"):
            yield str(override), group


def all_values(settings: Settings) -> dict[str, Any]:
    """Return the values of all keys, set or not."""
    return {name: key.default for name, key in all_keys().items()} | dict(_set_keys(settings))


def to_yaml(settings: Settings) -> str:
    """Write settings as a file for `load_settings`; for strategies, only the keys that were set.

    Header values, which may be secret, and credentials in a base URL are omitted.
    """
    return _tree({name: _public(name, value) for name, value in _set_keys(settings)}, {})


def describe_keys() -> str:
    """List all keys with defaults and help, in the form of a file.

    A preset lists only its own keys, and a second group of a strategy only those with other defaults; both
    also accept the strategy's other keys.
    """
    keys = all_keys()
    shown = {name: key for name, key in keys.items() if not _is_inherited(key)}
    return _tree({name: key.default for name, key in shown.items()}, shown)


def _is_inherited(key: Key) -> bool:
    group, _, name = key.name.partition(".")
    if not key.of_strategy:
        return False
    strategy = strategy_groups()[group]
    if group != strategy:
        return key.name not in original.DEFAULTS
    own = own_parameters(strategy)
    return own is not None and name not in own


def _set_keys(settings: Settings) -> Iterator[tuple[str, Any]]:
    for one in attrs.fields(Settings):
        group = getattr(settings, one.name)
        if one.name != "strategies":
            yield from ((key.name, key.default) for key in declared_keys(group, f"{one.name}."))
            continue
        for name, strategy in group.items():
            yield from ((key.name, key.default) for key in declared_keys(strategy, f"{name}."))
            for key, value in [*strategy.given.items(), *strategy.extra.items()]:
                yield f"{name}.{key}", value


def _public(name: str, value: Any) -> Any:
    """Return a value without its secrets."""
    if name == "model.headers":
        return {}
    if name.endswith(".base_url") and isinstance(value, str) and "@" in value:
        scheme, _, rest = value.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}"
    return value


def _tree(values: Mapping[str, Any], keys: Mapping[str, Key]) -> str:
    """Return keys with their groups as YAML, with a comment for each of `keys`."""
    lines: list[str] = []
    groups: list[str] = []
    for name, value in values.items():
        *above, last = name.split(".")
        for depth, group in enumerate(above):
            if groups[: depth + 1] != above[: depth + 1]:
                lines.append(f"{'  ' * depth}{group}:")
        groups = above
        line = f"{'  ' * len(above)}{last}: {write_value(value)}"
        lines.append(f"{line}{_comment(keys[name])}" if name in keys else line)
    return "".join(f"{line}\n" for line in lines)


def _comment(key: Key) -> str:
    words = " ".join(
        filter(None, [key.parameter.help, key.parameter.unit and f"In {key.parameter.unit}."])
    )
    return f"  # {words}" if words else ""
