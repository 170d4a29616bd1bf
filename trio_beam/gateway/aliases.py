r"""Names of strategies behind a model's name: ``my-model@beam-4x2``.

A name is a short form with numbers, a registered strategy, or one of a configuration file:

    [strategies.careful]
    strategy = "beam_search"
    beam_width = 8
    block = {name = "steps", delimiter = "\n"}
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from trio_beam.errors import ConfigError
from trio_beam.strategies import STRATEGIES, make_strategy

#: What is behind the @ of a model's name.
MARK = "@"
#: The member that names the strategy, in a file as in a request.
NAME = "strategy"
#: Short forms: the strategy, and the parameters that its numbers set.
_SHORT: dict[str, tuple[str, tuple[str, ...]]] = {
    "beam": ("beam_search", ("beam_width", "n_per_beam")),
    "best": ("best_of_n", ("n",)),
    "mcmc": ("mcmc", ("steps", "chains")),
    "power": ("power_sampling", ("particles",)),
    "vote": ("self_consistency", ("n",)),
}
_SHAPE = re.compile(r"([a-z]+)-([1-9]\d{0,5})(?:x([1-9]\d{0,5}))?")
#: Of each kind, for lists of models.
_EXAMPLES = ("beam-4x4", "best-8", "mcmc-10", "power-16", "vote-8")


@attrs.frozen
class Named:
    """A strategy by name, with the parameters that the name stands for."""

    strategy: str
    values: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class Aliases:
    """The names that a gateway knows.

    Attributes:
        own: those of its configuration file.
    """

    own: Mapping[str, Named] = attrs.field(factory=dict)

    def find(self, name: str) -> Named | None:
        """Return what a name stands for; None if nothing."""
        if name in self.own:
            return self.own[name]
        if name in STRATEGIES:
            return Named(name)
        shape = _SHAPE.fullmatch(name)
        if shape is None or shape[1] not in _SHORT:
            return None
        strategy, parameters = _SHORT[shape[1]]
        numbers = [int(number) for number in shape.groups()[1:] if number is not None]
        if len(numbers) > len(parameters):
            return None
        return Named(strategy, dict(zip(parameters, numbers, strict=False)))

    def names(self) -> list[str]:
        """Return the names to show: any number may stand for those of the short forms."""
        return [*self.own, *_EXAMPLES, *STRATEGIES.names()]

    def pattern(self, model: str) -> str:
        """Return a regular expression of everything that a model's name may be."""
        number = r"[1-9][0-9]{0,5}"
        short = [
            f"{name}-{number}" + (f"(x{number})?" if len(parameters) > 1 else "")
            for name, (_, parameters) in _SHORT.items()
        ]
        known = [re.escape(name) for name in (*self.own, *STRATEGIES.names())]
        return f"^{re.escape(model)}({MARK}({'|'.join([*known, *short])}))?$"


def read_aliases(path: Path) -> Aliases:
    """Read a configuration file.

    Raises:
        ConfigError: it cannot be read, or a strategy in it is not one.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise _bad(path, f"cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _bad(path, f"is no TOML: {error}") from None
    tables = content.pop("strategies", {})
    if content or not isinstance(tables, dict) or not tables:
        raise _bad(path, "must have tables [strategies.NAME], and nothing else")
    return Aliases({name: _named(path, name, table) for name, table in tables.items()})


def _named(path: Path, name: str, table: Any) -> Named:
    if MARK in name:
        raise _bad(path, f"[strategies.{name}]: a name has no {MARK}")
    if not isinstance(table, dict) or not isinstance(table.get(NAME), str):
        raise _bad(path, f'[strategies.{name}] must have a line {NAME} = "NAME"')
    values = dict(table)
    named = Named(values.pop(NAME), values)
    try:
        make_strategy(named.strategy, named.values)
    except ConfigError as error:
        raise _bad(path, f"[strategies.{name}]: {error}") from None
    return named


def _bad(path: Path, words: str) -> ConfigError:
    error = ConfigError("--config", "a file of strategies", str(path))
    error.args = (f"{path} {words}",)
    return error
