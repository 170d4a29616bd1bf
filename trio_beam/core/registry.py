"""Names for things that come one to a file: scorers, selections, strategies, dialects."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from trio_beam.errors import ConfigError

T = TypeVar("T")
E = TypeVar("E")


class Registry(Generic[T]):
    """A table of named things; a file adds to it by the decorator `register`."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[E], E]:
        """Decorator: make a thing known by a name that is still free."""

        def add(entry: E) -> E:
            if name in self._entries:
                raise ConfigError(self.kind, "a name that is not taken", name)
            self._entries[name] = entry  # type: ignore[assignment]  # E is a T, which Python cannot say
            return entry

        return add

    def __getitem__(self, name: str) -> T:
        """The thing of that name.

        Raises:
            ConfigError: there is none.
        """
        self.check(self.kind, name)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def check(self, field: str, name: object) -> None:
        """Raise `ConfigError` in the name of `field` unless the name is known."""
        if not isinstance(name, str) or name not in self._entries:
            raise ConfigError(field, f"one of {', '.join(map(repr, self.names()))}", name)

    def names(self) -> list[str]:
        """The known names, sorted."""
        return sorted(self._entries)

    def part(self, given: Any) -> Any:
        """The part that a name stands for, with its default parameters; a part itself as it is.

        Raises:
            ConfigError: there is none of that name.
        """
        if not isinstance(given, str):
            return given
        entry = self[given]
        return entry() if isinstance(entry, type) else entry


def load_all(package: str) -> None:
    """Import every module of a package, so that each adds its entries to a registry."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        importlib.import_module(f"{package}.{module.name}")
