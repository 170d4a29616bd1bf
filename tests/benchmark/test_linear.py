"""Nothing of ours takes more than linear time for an answer, by a clock of steps."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.benchmark.steps import spans, steps_of_call, steps_of_pattern
from trio_beam.benchmark.sets import (
    answers,
    code_answer,
    code_parts,
    letters,
    marks,
    number_words,
    numbers,
    thinking,
)
from trio_beam.benchmark.sets.choice import grade_choice

PROMPT = 'def f(x):\n    """Doc."""\n'


def patterns_of(module: ModuleType) -> Iterator[tuple[str, re.Pattern[str]]]:
    for name, value in vars(module).items():
        some = [value, *(one[0] for one in value)] if name == "_LATEX" else [value]
        patterns = [one for one in some if isinstance(one, re.Pattern)]
        yield from ((f"{name}{index or ''}", one) for index, one in enumerate(patterns))


PATTERNS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": pattern
    for module in (answers, letters, marks, number_words, numbers, thinking, code_parts)
    for name, pattern in patterns_of(module)
}
#: What the patterns look for, and what they stumble over.
PIECES = [
    *(" ", "\t", "\n", "\r", "1", "1 ", " 1", "1,111", "11'", "1/", "1.", ".5", "e1", "^", "$", "%"),
    *("-", "+", "*", "{", "}", "\\frac{", "\\frac1", "\\text{", "\\circ", "\\left", "{,}", "~", "\\"),
    *("\\boxed{", "\\fbox ", "answer", "answer is", "answer to ", "option ", "#### ", ":", "=", "the "),
    *("or", " or ", "and ", "not ", "A", "A)", "(A", "B.", "&", ",", "/", "**", "a", "aa", "_", "million"),
    *("thousand ", "<answer>", "</answer>", "<think>", "</think>", "```", "```python\n", "~~~~", "@f\n"),
    *("def f(x):\n", "import x\n", "from ", "'''"),
]  # fmt: skip
UNIT = st.lists(st.sampled_from(PIECES), min_size=1, max_size=3).map("".join)
AROUND = st.lists(st.sampled_from(PIECES), max_size=2).map("".join)


def is_linear(steps: Callable[[str], int], before: str, unit: str, behind: str) -> bool:
    """Whether three times the length costs clearly less than nine times as much."""
    short, long = (steps(before + unit * count + behind) for count in (90, 270))
    return long < 5 * short + 5_000


def test_the_patterns_are_found() -> None:
    assert len(PATTERNS) > 30
    assert "numbers._LATEX8" in PATTERNS


@given(
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join), st.sampled_from(sorted(PATTERNS))
)
def test_the_clock_matches_as_re_does(text: str, name: str) -> None:
    pattern = PATTERNS[name]
    assert spans(pattern, text) == [match.span() for match in pattern.finditer(text)]


@pytest.mark.parametrize(
    ("pattern", "unit", "count"),
    [(r"\s*[\d ]+\}", " ", 20), (r"\W*&\W*[A-Z]", "&", 20), (r"(?:a+)+b", "a", 4)],
)
def test_the_clock_tells_a_pattern_that_is_not_linear(pattern: str, unit: str, count: int) -> None:
    compiled = re.compile(pattern)
    short, long = (steps_of_pattern(compiled, unit * n) for n in (count, 3 * count))
    assert long > 8 * short


#: Patterns that are only tried at the beginning of a text, and have to match all of it.
WHOLE = {"letters._ALONE", "letters._LETTER", "letters._OTHER_LETTER", "letters._FILLER"}
WHOLE |= {
    "numbers._ALONE",
    "numbers._OR",
    "numbers._LIST",
    "number_words._IN_WORDS",
    "marks._JOINED",
}


@settings(max_examples=3, deadline=None)
@given(AROUND, UNIT, AROUND)
@example("\\frac{", " ", "")
@example("1\\frac{1}{", " ", "x")
@example("A", "&", "")
@example("", "option ", "!")
@example("answer to ", " ", "")
@example("1/", "1", "x")
def test_every_pattern_is_linear(before: str, unit: str, behind: str) -> None:
    def steps(name: str) -> Callable[[str], int]:
        return lambda text: steps_of_pattern(PATTERNS[name], text, whole=name in WHOLE)

    wrong = [name for name in PATTERNS if not is_linear(steps(name), before, unit, behind)]
    assert wrong == []


FUNCTIONS: dict[str, Callable[[str], object]] = {
    "completion_of": lambda text: code_answer.completion_of(PROMPT, text, "f"),
    "code_in": code_answer.code_in,
    "final_answer": answers.final_answer,
    "number_in": answers.number_in,
    "letter": lambda text: grade_choice(text, "A", 4),
    "normal_form": answers.normal_form,
}


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=5, deadline=None)
@given(AROUND, UNIT, AROUND)
@example("", "@f\n", "def f(x): return 1")
@example("", "x = (\n", "def f(x): return 1")
@example("def f(x):\n    return a\n", "a = b\nb = a\n", "")
@example("", "from the\n", "def f(x):\n    return (\n")
@example("", "```\nx\n", "")
@example("", "```\ndef f(x): return (\n```\n", "")
@example("", "</think>", "<think>")
@example("$", "$ ", "$")
def test_every_reader_is_linear(name: str, before: str, unit: str, behind: str) -> None:
    function = FUNCTIONS[name]
    assert is_linear(lambda text: steps_of_call(function, text), before, unit, behind)


def nested(depth: int) -> str:
    lines = [f"{' ' * level}if f:" for level in range(depth)]
    return "\n".join(["import y", *lines, f"{' ' * depth}y = 1", "def f(x):", "    return y"])


def chained(count: int) -> str:
    """Each line needs the one above it, so that a function that is needed last needs all."""
    lines = [f"a{number + 1} = a{number}" for number in range(count)]
    return "\n".join(["import a0", *lines, "def f(x):", f"    return a{count}"])


@pytest.mark.parametrize(("make", "sizes"), [(nested, (20, 60)), (chained, (100, 300))])
def test_a_program_is_taken_apart_in_linear_time(
    make: Callable[[int], str], sizes: Sequence[int]
) -> None:
    short, long = (steps_of_call(FUNCTIONS["completion_of"], make(size)) for size in sizes)
    assert long < 5 * short
    completion = code_answer.completion_of(PROMPT, make(sizes[1]), "f")
    assert completion is not None
    assert completion.strip() == make(sizes[1])
