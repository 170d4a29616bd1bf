"""A clock of steps: what Python and its regular expressions do for a call, counted instead of timed.

`steps_of_pattern` matches as the module `re` does, by backtracking, and counts each attempt at a character or
a position. `steps_of_call` counts the lines that run, and the characters that the compiler is given.
"""

from __future__ import annotations

import ast
import builtins
import re
import sys
from collections.abc import Callable
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from types import FrameType
from typing import Any
from unittest import mock

_Next = Callable[[int], "int | None"]
_CATEGORIES = {
    codes.CATEGORY_DIGIT: r"\d",
    codes.CATEGORY_NOT_DIGIT: r"\D",
    codes.CATEGORY_SPACE: r"\s",
    codes.CATEGORY_NOT_SPACE: r"\S",
    codes.CATEGORY_WORD: r"\w",
    codes.CATEGORY_NOT_WORD: r"\W",
}


def steps_of_call(function: Callable[..., object], *args: object) -> int:
    """Lines of Python that run in a call, and characters that it compiles."""
    count = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    def compiled(source: Any, *rest: Any, **more: Any) -> Any:
        nonlocal count
        count += len(source) if isinstance(source, str) else 0
        return real(source, *rest, **more)

    real, before = builtins.compile, sys.gettrace()
    with mock.patch.object(ast, "compile", compiled, create=True):
        sys.settrace(trace)
        try:
            function(*args)
        finally:
            sys.settrace(before)
    return count


def steps_of_pattern(pattern: re.Pattern[str], text: str, *, whole: bool = False) -> int:
    """Steps to find all places of a pattern in a text, or to try whether it is the whole text."""
    engine = _Engine(pattern, text)
    if whole:
        engine.run(engine.tree, 0, 0, lambda at: at if at == len(text) else None)
    else:
        engine.find_all()
    return engine.steps


def spans(pattern: re.Pattern[str], text: str) -> list[tuple[int, int]]:
    """The places that the engine finds, which must be those that `re` finds."""
    return _Engine(pattern, text).find_all()


class _Engine:
    """Matches one pattern in one text, in the style of continuations: the rest of the match is a function."""

    def __init__(self, pattern: re.Pattern[str], text: str) -> None:
        self.tree = list(parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG))
        self.flags = pattern.flags
        self.text = text
        self.steps = 0
        self.groups: dict[int, int] = {}
        self.known: dict[object, bool] = {}

    def find_all(self) -> list[tuple[int, int]]:
        found, place, earliest = [], 0, -1
        while place <= len(self.text):
            self.groups.clear()
            end = self.run(self.tree, 0, place, lambda at: at)
            if end is not None and (end > place or place > earliest):
                found.append((place, end))
                earliest = end if end == place else earliest
            place = max(place + 1, end or 0)
        return found

    def run(self, tree: list[Any], index: int, at: int, then: _Next) -> int | None:
        if index == len(tree):
            return then(at)
        self.steps += 1
        op, arg = tree[index]
        return self.one(op, arg, at, lambda end: self.run(tree, index + 1, end, then))

    def one(self, op: Any, arg: Any, at: int, then: _Next) -> int | None:
        if op in (codes.LITERAL, codes.NOT_LITERAL, codes.ANY, codes.IN):
            return then(at + 1) if self.is_one(op, arg, at) else None
        method = getattr(self, f"{op}_".lower())
        result: int | None = method(arg, at, then)
        return result

    def is_one(self, op: Any, arg: Any, at: int) -> bool:
        self.steps += 1
        if at >= len(self.text):
            return False
        character = self.text[at]
        if op is codes.ANY:
            return bool(self.flags & re.DOTALL) or character != "\n"
        key = (id(arg), op, character, self.flags & re.IGNORECASE)
        if key not in self.known:
            members = arg if op is codes.IN else [(codes.LITERAL, arg)]
            negated = op is codes.NOT_LITERAL or members[0][0] is codes.NEGATE
            self.known[key] = negated != any(self.is_in(one, character) for one in members)
        return self.known[key]

    def is_in(self, member: tuple[Any, Any], character: str) -> bool:
        op, arg = member
        forms = {character}
        if self.flags & re.IGNORECASE:
            forms |= {character.lower(), character.upper()}
        if op is codes.LITERAL:
            return chr(arg) in forms
        if op is codes.RANGE:
            return any(arg[0] <= ord(form) <= arg[1] for form in forms if len(form) == 1)
        return op is codes.CATEGORY and re.match(_CATEGORIES[arg], character) is not None

    def subpattern_(self, arg: Any, at: int, then: _Next) -> int | None:
        group, add, drop, tree = arg
        before = self.flags

        def leave(end: int) -> int | None:
            inside, self.flags = self.flags, before
            old = self.groups.get(group)
            self.groups[group] = end
            result = then(end)
            if result is None:
                self.flags = inside
                self.groups.pop(group)
                self.groups |= {} if old is None else {group: old}
            return result

        self.flags = (self.flags | add) & ~drop
        result = self.run(list(tree), 0, at, leave)
        self.flags = before
        return result

    def branch_(self, arg: Any, at: int, then: _Next) -> int | None:
        for tree in arg[1]:
            self.steps += 1
            if (end := self.run(list(tree), 0, at, then)) is not None:
                return end
        return None

    def max_repeat_(self, arg: Any, at: int, then: _Next) -> int | None:
        least, most, tree = arg
        op, inner = tree[0]
        if len(tree) == 1 and op in (codes.LITERAL, codes.NOT_LITERAL, codes.ANY, codes.IN):
            end = at
            while end - at < most and self.is_one(op, inner, end):
                end += 1
            for place in range(end, at + least - 1, -1):
                self.steps += 1
                if (result := then(place)) is not None:
                    return result
            return None
        return self.again(list(tree), least, most, at, then)

    def again(self, tree: list[Any], least: int, most: int, at: int, then: _Next) -> int | None:
        self.steps += 1
        if most > 0:

            def more(end: int) -> int | None:
                return None if end == at else self.again(tree, least - 1, most - 1, end, then)

            if (end := self.run(tree, 0, at, more)) is not None:
                return end
        return then(at) if least <= 0 else None

    def min_repeat_(self, arg: Any, at: int, then: _Next) -> int | None:
        least, most, tree = arg
        for count in range(int(most) + 1):
            self.steps += 1
            if count >= least and (end := then(at)) is not None:
                return end
            after = self.run(list(tree), 0, at, lambda end: end)
            if after is None or after == at:
                return None
            at = after
        return None

    def possessive_repeat_(self, arg: Any, at: int, then: _Next) -> int | None:
        end = self.max_repeat_(arg, at, lambda place: place)
        return None if end is None else then(end)

    def atomic_group_(self, arg: Any, at: int, then: _Next) -> int | None:
        end = self.run(list(arg), 0, at, lambda place: place)
        return None if end is None else then(end)

    def assert_(self, arg: Any, at: int, then: _Next) -> int | None:
        return then(at) if self.holds(arg, at) else None

    def assert_not_(self, arg: Any, at: int, then: _Next) -> int | None:
        return None if self.holds(arg, at) else then(at)

    def holds(self, arg: Any, at: int) -> bool:
        direction, tree = arg
        start = at if direction > 0 else at - tree.getwidth()[0]
        return start >= 0 and self.run(list(tree), 0, start, lambda end: end) is not None

    def at_(self, arg: Any, at: int, then: _Next) -> int | None:
        text, end = self.text, len(self.text)
        is_word = [0 <= place < end and re.match(r"\w", text[place]) for place in (at - 1, at)]
        if arg in (codes.AT_BEGINNING, codes.AT_BEGINNING_STRING):
            lines = arg is codes.AT_BEGINNING and self.flags & re.MULTILINE
            holds = at == 0 or bool(lines and text[at - 1] == "\n")
        elif arg in (codes.AT_END, codes.AT_END_STRING):
            lines = arg is codes.AT_END and self.flags & re.MULTILINE
            last = arg is codes.AT_END and text[at:] == "\n"
            holds = at == end or last or bool(lines and text[at] == "\n")
        else:
            holds = (bool(is_word[0]) != bool(is_word[1])) == (arg is codes.AT_BOUNDARY)
        return then(at) if holds else None

    def groupref_exists_(self, arg: Any, at: int, then: _Next) -> int | None:
        group, yes, no = arg
        tree = yes if group in self.groups else no
        return then(at) if tree is None else self.run(list(tree), 0, at, then)
