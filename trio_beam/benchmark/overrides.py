"""``group.key=value``: the words of the command line, and the combinations of a sweep."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence

import attrs

from trio_beam.benchmark.common.nearest import nearest_keys
from trio_beam.errors import ConfigError

_OPENING, _CLOSING, _QUOTES = "([{", ")]}", "'\""


@attrs.frozen
class Override:
    """One word: a key with its groups, and the text behind the first equals sign."""

    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.key}={self.text}"


class UnknownKey(ConfigError):
    """A key that does not exist; the message names the nearest one.

    Attributes:
        nearest: keys that may have been meant, the likeliest first.
    """

    def __init__(self, key: str, known: Collection[str]) -> None:
        self.nearest = nearest_keys(key, known)
        super().__init__(key, "a key that exists", key)
        said = f"there is no key {key!r}"
        if self.nearest:
            said += f"; did you mean {' or '.join(map(repr, self.nearest))}?"
        else:
            said += f"; the groups are {', '.join(_groups(known))}"
        self.args = (said,)


def parse_override(word: str, known: Collection[str]) -> Override:
    """Split a word.

    Raises:
        UnknownKey: there is no such key.
        ConfigError: it is no ``key=value``, or the key is a whole group.
    """
    key, equals, text = word.partition("=")
    key = key.strip()
    if not equals or not key:
        raise ConfigError("an argument", "group.key=value (--help shows more)", word)
    if key in known:
        return Override(key, text)
    inside = [name for name in known if name.startswith(f"{key}.")]
    if inside:
        raise ConfigError(key, f"given by one of its keys ({', '.join(inside)})", text)
    raise UnknownKey(key, known)


def _groups(known: Collection[str]) -> list[str]:
    return list(dict.fromkeys(name.partition(".")[0] for name in known))


def combinations(overrides: Sequence[Override]) -> list[list[Override]]:
    """Every combination of a sweep: values with commas stand for several, the last key turns fastest."""
    choices = [[Override(one.key, text) for text in split_values(one.text)] for one in overrides]
    return [list(chosen) for chosen in itertools.product(*choices)]


def split_values(text: str) -> list[str]:
    """Split at the commas that stand in no quotes and no brackets.

    Raises:
        ConfigError: nothing stands before or behind a comma.
    """
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
