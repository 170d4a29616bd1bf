"""Names for things that come one to a file: scorers, selections, dialects."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Generic, TypeVar

from trio_beam.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_beam.core.beam_search.scoring import AsyncScorer, Scorer
    from trio_beam.core.beam_search.selecting import Selection
    from trio_beam.core.judge import Judge

T = TypeVar("T")


class Registry(Generic[T]):
    """A table of named things; a file adds to it by the decorator `register`."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator: make a thing known by a name that is still free."""

        def add(entry: T) -> T:
            if name in self._entries:
                raise ConfigError(self.kind, "a name that is not taken", name)
            self._entries[name] = entry
            return entry

        return add

    def __getitem__(self, name: str) -> T:
        """The thing of that name.

        Raises:
            ConfigError: there is none.
        """
        self.check(self.kind, name)
        return self._entries[name]

    def check(self, field: str, name: object) -> None:
        """Raise `ConfigError` in the name of `field` unless the name is known."""
        if not isinstance(name, str) or name not in self._entries:
            raise ConfigError(field, f"one of {', '.join(map(repr, self.names()))}", name)

    def names(self) -> list[str]:
        """The known names, sorted."""
        return sorted(self._entries)


def load_all(package: str) -> None:
    """Import every module of a package, so that each adds what it has to its registry."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        importlib.import_module(f"{package}.{module.name}")


SCORERS: Registry[Scorer | AsyncScorer | Judge] = Registry("scorer")
SELECTIONS: Registry[type[Selection]] = Registry("selection")
