"""Parse overrides on the command line: ``key=value``, ``+key=value``, ``++key=value``, ``~key``; and sweeps.

The grammar is the original's: the part of Hydra's that its users need. Hydra's own parser would not do,
since it refuses texts with commas, quotes or non-ASCII letters.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Sequence
from decimal import Decimal, InvalidOperation

import attrs

from trio_beam.benchmark.common.nearest import nearest_keys
from trio_beam.errors import ConfigError

_OPENING, _CLOSING, _QUOTES = "([{", ")]}", "'\""
_ARGUMENT = re.compile(r"(?P<sign>\+\+|\+|~)?\s*(?P<key>[^=]*?)\s*(?:=(?P<text>.*))?", re.DOTALL)
_FUNCTION = re.compile(r"\s*([a-z_]+)\((.*)\)\s*", re.DOTALL)
#: Unsupported functions of Hydra's grammar.
_OTHER_FUNCTIONS = frozenset(
    [
        "glob",
        "interval",
        "shuffle",
        "sort",
        "tag",
        "extend_list",
        "int",
        "float",
        "str",
        "bool",
        "json_str",
    ]
)
#: Maximum number of values of a range; more are assumed to be a mistake.
_LONGEST_RANGE = 10_000


@attrs.frozen
class Override:
    """One override.

    Attributes:
        key: with its groups.
        text: the text after the first equals sign; None without one, which only ``~`` allows.
        deletes: whether to delete the key (``~``).
    """

    key: str
    text: str | None
    deletes: bool = False

    def __str__(self) -> str:
        text = "" if self.text is None else f"={self.text}"
        return f"{'~' if self.deletes else ''}{self.key}{text}"


class UnknownKey(ConfigError):
    """A key that does not exist; the message names the nearest one.

    Attributes:
        nearest: suggested keys, likeliest first.
    """

    def __init__(self, key: str, known: Collection[str]) -> None:
        self.nearest = nearest_keys(key, known)
        super().__init__(key, "a key that exists", key)
        message = f"there is no key {key!r}"
        if self.nearest:
            message += f"; did you mean {' or '.join(map(repr, self.nearest))}?"
        else:
            groups = dict.fromkeys(name.partition(".")[0] for name in known)
            message += f"; the groups are {', '.join(groups)}"
        self.args = (message,)


def parse_override(argument: str) -> Override:
    """Parse an argument. ``+`` and ``++`` set a key, whether or not a file has set it.

    Raises:
        ConfigError: it is malformed, or a setting of Hydra itself.
    """
    match = _ARGUMENT.fullmatch(argument)
    assert match is not None, "any text is of this form"
    sign, key, text = match["sign"] or "", match["key"], match["text"]
    if not key or (text is None and sign != "~"):
        raise ConfigError("an argument", "group.key=value (--help shows more)", argument)
    if re.match(r"hydra\b", key):
        bound = "left out: Hydra is not used here (output.dir and output.results_dir name folders)"
        raise ConfigError(key, bound, text)
    if "@" in key:
        raise ConfigError(key, "a key without @: packages are named in files alone", argument)
    return Override(key, text, deletes=sign == "~")


def combinations(overrides: Sequence[Override]) -> list[list[Override]]:
    """Return all combinations of a sweep; the last key varies fastest."""
    choices = [
        [one]
        if one.text is None
        else [attrs.evolve(one, text=text) for text in split_values(one.text)]
        for one in overrides
    ]
    return [list(chosen) for chosen in itertools.product(*choices)]


def split_values(text: str) -> list[str]:
    """Return the values of a sweep: ``a,b``, ``choice(a,b)``, ``range(1,4)``, or a mixture.

    Raises:
        ConfigError: a value is empty, a range has no end, or Hydra's function is unsupported.
    """
    return [value for part in _split(text) for value in _expand(part)]


def _split(text: str) -> list[str]:
    """Split at commas outside quotes and brackets."""
    values, depth, quote, start = [], 0, "", 0
    for index, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in _QUOTES:
            quote = character
        elif character in _OPENING:
            depth += 1
        elif character in _CLOSING:
            depth -= 1
        elif character == "," and depth == 0:
            values.append(text[start:index])
            start = index + 1
    values.append(text[start:])
    if len(values) > 1 and not all(value.strip() for value in values):
        raise ConfigError("a sweep", "values with single commas between them", text)
    return values


def _expand(text: str) -> list[str]:
    match = _FUNCTION.fullmatch(text)
    if match is None:
        return [text]
    name, inner = match[1], match[2]
    if name == "choice":
        values = [value.strip() for value in _split(inner)]
        if not all(values):
            raise ConfigError("a sweep", "choice(a, b, ...) with at least one value", text)
        return values
    if name == "range":
        return _range(text, inner)
    if name in _OTHER_FUNCTIONS:
        raise ConfigError("a sweep", f"made by range() or choice(): there is no {name}()", text)
    return [text]


def _range(text: str, inner: str) -> list[str]:
    """Return the numbers of ``range([start,] stop[, step])``, without the stop."""
    wrong = ConfigError("a sweep", "range(start, stop, step) with a step towards stop", text)
    given = {"start": Decimal(0), "step": Decimal(1)}
    parts = _split(inner)
    unnamed = ("stop",) if len(parts) == 1 else ("start", "stop", "step")
    try:
        for place, part in enumerate(parts):
            name, equals, value = part.rpartition("=")
            given[name.strip() if equals else unnamed[place]] = Decimal(value.strip())
        start, stop, step = (given.pop(name) for name in ("start", "stop", "step"))
    except (IndexError, KeyError, InvalidOperation):
        raise wrong from None
    if given or not step or not all(one.is_finite() for one in (start, stop, step)):
        raise wrong
    values: list[str] = []
    number = start
    while (number < stop if step > 0 else number > stop) and len(values) <= _LONGEST_RANGE:
        values.append(f"{number:f}")
        number += step
    if not 0 < len(values) <= _LONGEST_RANGE:
        raise wrong
    return values
