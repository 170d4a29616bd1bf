"""Registries of named parts, one per file: scorers, selections, strategies, dialects."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from trio_beam.errors import ConfigError

T = TypeVar("T")
E = TypeVar("E")


class Registry(Generic[T]):
    """A table of named entries, which files add with the decorator `register`.

    Args:
        kind: what an entry is, in messages.
        packages: those whose modules add entries; imported when the table is first read, since they are
            above the table.
    """

    def __init__(self, kind: str, *packages: str) -> None:
        self.kind = kind
        self.packages = packages
        self._added: dict[str, T] = {}
        self._complete = not packages

    def register(self, name: str) -> Callable[[E], E]:
        """Return a decorator that registers an entry under an unused name."""

        def add(entry: E) -> E:
            # What registers while the table is being completed must not wait for it.
            ours = not self.packages or entry.__module__.startswith(self.packages)
            if name in (self._added if ours else self._entries()):
                raise ConfigError(self.kind, "a name that is not taken", name)
            self._added[name] = entry  # type: ignore[assignment]  # E is a T, which Python cannot say
            return entry

        return add

    def __getitem__(self, name: str) -> T:
        """Return the entry with that name.

        Raises:
            ConfigError: there is none.
        """
        self.check(self.kind, name)
        return self._added[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries()

    def check(self, field: str, name: object) -> None:
        """Raise `ConfigError` about `field` unless the name is registered."""
        if not isinstance(name, str) or name not in self._entries():
            raise ConfigError(field, f"one of {', '.join(map(repr, self.names()))}", name)

    def names(self) -> list[str]:
        """Return the registered names, sorted."""
        return sorted(self._entries())

    def part(self, given: Any) -> Any:
        """Return the part for a name, with default parameters; return a part unchanged.

        Raises:
            ConfigError: the name is not registered.
        """
        if not isinstance(given, str):
            return given
        entry = self[given]
        return entry() if isinstance(entry, type) else entry

    def _entries(self) -> dict[str, T]:
        if not self._complete:
            for package in self.packages:
                load_all(package)
            self._complete = True  # last, so that another thread waits for the imports
        return self._added


def load_all(package: str) -> None:
    """Import every module of a package, so that its entries are registered."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        importlib.import_module(f"{package}.{module.name}")
