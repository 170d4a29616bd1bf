"""Collect assigned keys and build `Settings` from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import yaml

from trio_beam.benchmark import original
from trio_beam.benchmark.keys import Key, all_keys, all_names, canonical, strategy_groups
from trio_beam.benchmark.overrides import Override, UnknownKey
from trio_beam.benchmark.settings import Settings, StrategyGroup
from trio_beam.benchmark.values import check_value, read_text
from trio_beam.core.validation import PARAMETER
from trio_beam.errors import ConfigError

_STRATEGIES = "strategies"


class Assignments:
    """Assigned values of keys, which override the defaults."""

    def __init__(self) -> None:
        self._keys = all_keys()
        self._values: dict[str, Any] = {}

    def set(self, name: str, value: Any) -> None:
        """Set a key to a value from a file.

        Raises:
            UnknownKey: there is no key of that name.
            ConfigError: the value has the wrong type.
        """
        if value is None and any(key.startswith(f"{canonical(name)}.") for key in self._keys):
            return  # a group without any keys
        key, path = self._find(name)
        self._put(key, path, value if path else check_value(key, value))

    def override(self, override: Override) -> None:
        """Apply an override of the command line: set or delete a key.

        Raises:
            UnknownKey, ConfigError: as `set`; the key cannot be deleted.
        """
        if override.deletes:
            self._delete(override)
            return
        text = override.text or ""
        key, path = self._find(override.key)
        self._put(key, path, _plain(text) if path else read_text(key, text))

    def settings(self) -> Settings:
        """Build the settings.

        Raises:
            ConfigError: a value is out of bounds; parameters of strategies are checked later.
        """
        for name, value in self._values.items():
            key = self._keys[name]
            if not key.of_strategy:
                key.parameter.check(name, value)
        defaults = Settings()
        own = {
            one.name: _filled(getattr(defaults, one.name), f"{one.name}.", self._values)
            for one in attrs.fields(Settings)
            if one.name != _STRATEGIES
        }
        groups = {group: self._strategy(group) for group in strategy_groups()}
        return Settings(**own, strategies=groups)

    def _find(self, name: str) -> tuple[Key, list[str]]:
        """Return the key for a name, and the path below it if it is open."""
        wanted = canonical(name)
        if wanted in self._keys:
            return self._keys[wanted], []
        head = wanted
        while head := head.rpartition(".")[0]:
            if head in self._keys and self._keys[head].is_open:
                return self._keys[head], wanted[len(head) + 1 :].split(".")
        inside = [key for key in self._keys if key.startswith(f"{wanted}.")]
        if inside:
            raise ConfigError(name, f"given by one of its keys ({', '.join(inside)})", None)
        raise UnknownKey(name, all_names(self._keys))

    def _put(self, key: Key, path: list[str], value: Any) -> None:
        if not path:
            self._values[key.name] = value
            return
        there = self._values.get(key.name)
        # A part given by name alone gets a parameter.
        inner: dict[str, Any] = {"name": there} if isinstance(there, str) else dict(there or {})
        self._values[key.name] = inner
        for step in path[:-1]:
            below = inner.get(step)
            inner[step] = dict(below) if isinstance(below, Mapping) else {}
            inner = inner[step]
        inner[path[-1]] = value

    def _delete(self, override: Override) -> None:
        """Reset a key to null, or to its default if it is a strategy's parameter."""
        name = canonical(override.key)
        if name in strategy_groups():
            self._values[f"{name}.enabled"] = False
            return
        key, path = self._find(override.key)
        there = self._values.get(key.name, key.default)
        if path or (override.text is not None and there != read_text(key, override.text)):
            raise ConfigError(str(override), "left out: that is not what the key is", there)
        if name.endswith(".enabled"):
            self._values[name] = False
        elif key.of_strategy:
            self._values.pop(name, None)
        elif key.parameter.optional:
            self._values[name] = None
        else:
            raise ConfigError(str(override), f"left out: a run needs {name}", there)

    def _strategy(self, group: str) -> StrategyGroup:
        prefix = f"{group}."
        given = {
            name.removeprefix(prefix): value
            for name, value in (original.DEFAULTS | self._values).items()
            if name.startswith(prefix)
        }
        own = [one.name for one in attrs.fields(StrategyGroup) if PARAMETER in one.metadata]
        extra = original.EXTRA.get(group, {})
        return StrategyGroup(
            **{name: given[name] for name in own if name in given},
            extra={name: given[name] for name in extra if name in given},
            given={
                name: value
                for name, value in given.items()
                if name not in own and name not in extra and value is not None
            },
        )


def _filled(owner: Any, prefix: str, values: Mapping[str, Any]) -> Any:
    """Return a copy of an object, and of the objects in it, with the assigned values."""
    changes: dict[str, Any] = {}
    for one in attrs.fields(type(owner)):
        name, there = prefix + one.name, getattr(owner, one.name)
        if PARAMETER in one.metadata:
            if name in values:
                changes[one.name] = values[name]
        elif attrs.has(type(there)):
            changes[one.name] = _filled(there, f"{name}.", values)
        else:
            changes[one.name] = {
                row: _filled(inner, f"{prefix}{row}.", values) for row, inner in there.items()
            }
    return attrs.evolve(owner, **changes)


def _plain(text: str) -> Any:
    """Parse the value of an undeclared key: a scalar or a bracketed collection, else text."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return text if isinstance(value, (dict, list)) and text[0] not in "{[" else value
