"""Suggest names for a misspelt one."""

from __future__ import annotations

import difflib
from collections.abc import Collection


def nearest_keys(key: str, known: Collection[str]) -> list[str]:
    """Return at most two known keys similar to `key`, with or without their group."""
    named = [name for name in known if name.rpartition(".")[2] == key]
    if named:
        return named[:2]
    close = difflib.get_close_matches(key, known, n=2, cutoff=0.75)
    if close:
        return close[:1] if len(close) == 1 or _much_nearer(key, close) else close
    last = key.rpartition(".")[2]
    leaves = {name.rpartition(".")[2] for name in known}
    found = difflib.get_close_matches(last, leaves, n=1, cutoff=0.75)
    return [name for name in known if found and name.rpartition(".")[2] == found[0]][:2]


def _much_nearer(key: str, close: list[str]) -> bool:
    first, second = (difflib.SequenceMatcher(None, key, name).ratio() for name in close)
    return first - second > 0.05
