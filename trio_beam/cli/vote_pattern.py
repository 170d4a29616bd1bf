"""The answer that a text comes to, by a regular expression."""

from __future__ import annotations

import re
from collections.abc import Callable

from trio_beam.errors import ConfigError


def last_match(pattern: str) -> Callable[[str], str | None]:
    """A function that finds what a pattern matches last in a text: its first group, if it has one.

    Raises:
        ConfigError: it is no regular expression.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError("vote_key", f"a regular expression ({error})", pattern) from None
    group = 1 if compiled.groups else 0

    def answer(text: str) -> str | None:
        found: str | None = None
        for match in compiled.finditer(text):
            found = match[group]
        return found

    return answer
