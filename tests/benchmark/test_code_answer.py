"""Code in the answers of chat models and of models that go on with the prompt."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_beam.benchmark.sets.code_answer import code_in, completion_of
from trio_beam.benchmark.sets.humaneval import rows

PROMPT = '''import math


def area(r: float) -> float:
    """The area of a circle of that radius."""
'''
BODY = "    square = r * r\n    return math.pi * square\n"
WHOLE = PROMPT + BODY

FORMS: dict[str, Callable[[str, str], str]] = {
    "the body": lambda prompt, body: body,
    "the body, stripped": lambda prompt, body: body.strip(),
    "the body in a block": lambda prompt, body: f"```python\n{body}```",
    "the body in a block, without its indent": lambda prompt, body: (
        f"The body:\n```\n{textwrap.dedent(body)}```\n"
    ),
    "the body and what came next": lambda prompt, body: (
        f"{body}\n\nprint(undefined())\nassert False\nif __name__ == '__main__':\n    undefined()\n"
    ),
    "the function in a block": lambda prompt, body: (
        f"Here it is:\n```python\n{prompt}{body}```\nIt works."
    ),
    "a block that was cut off": lambda prompt, body: f"```python\n{prompt}{body}",
    "a block that nothing opened": lambda prompt, body: f" {prompt}{body}```\n\nIt multiplies.",
    "a block in a list": lambda prompt, body: (
        "1. Write:\n" + textwrap.indent(f"```python\n{prompt}{body}```\n", "   ")
    ),
    "the function alone": lambda prompt, body: prompt + body,
    "the function between words": lambda prompt, body: (
        f"Sure!\nfrom what you say, it is\n\n{prompt}{body}\nThis function is right."
    ),
    "the function with examples": lambda prompt, body: (
        f"```python\n{prompt}{body}\nassert False\nn = int(input())\nprint(undefined)\n```\n"
        "```python\nprint(1)\n```"
    ),
    "Windows' line ends": lambda prompt, body: f"```\n{prompt}{body}```".replace("\n", "\r\n"),
}


@pytest.fixture(scope="module")
def humaneval() -> list[dict[str, Any]]:
    return rows()


def test_the_data_set_is_whole(humaneval: list[dict[str, Any]]) -> None:
    assert [row["task_id"] for row in humaneval] == [f"HumanEval/{n}" for n in range(164)]


@pytest.mark.parametrize("form", FORMS)
def test_every_reference_solution_is_found_in_every_form(
    form: str, humaneval: list[dict[str, Any]]
) -> None:
    """The code found compiles, and its function is the reference's, statement for statement."""
    for row in humaneval:
        prompt, body, name = row["prompt"], row["canonical_solution"], row["entry_point"]
        completion = completion_of(prompt, FORMS[form](prompt, body), name)
        assert completion is not None
        found = _statements(prompt + completion, name)
        assert found == _statements(prompt + body, name), row["task_id"]


def _statements(source: str, name: str) -> list[str]:
    """The statements of a function without its docstring, which is indented in a list."""
    body = ast.parse(source).body
    function = next(
        node for node in reversed(body) if isinstance(node, ast.FunctionDef) and node.name == name
    )
    return [ast.dump(node) for node in function.body if not isinstance(node, ast.Expr)]


def test_nothing_of_the_rest_is_run() -> None:
    text = f"```python\n{WHOLE}\nprint('example')\nresult = area(input())\n```"
    completion = completion_of(PROMPT, text, "area")
    assert completion is not None
    assert "print" not in completion
    assert "input" not in completion


def test_what_the_function_needs_is_kept() -> None:
    text = """```python
import os
from math import *
TABLE = []
for n in range(3):
    TABLE.append(n)
count = 0

@cache
def helper(x):
    return TABLE[x] + LIMIT

LIMIT: int = 3

def unused():
    return count

def area(r, more=helper):
    return more(r)
```"""
    completion = completion_of(PROMPT, text, "area")
    assert completion is not None
    for kept in ("from math", "TABLE = []", "TABLE.append", "@cache", "def helper", "LIMIT: int"):
        assert kept in completion
    for dropped in ("import os", "unused", "count"):
        assert dropped not in completion


def test_a_helper_may_stand_in_a_block_before() -> None:
    text = (
        "```python\ndef square(x):\n    return x * x\n```\nThen:\n"
        "```python\ndef area(r):\n    return 3 * square(r)\n```"
    )
    completion = completion_of(PROMPT, text, "area")
    assert completion is not None
    assert "def square" in completion


def test_an_echo_of_the_question_is_no_answer() -> None:
    text = f"```python\n{PROMPT}```\nbecomes\n```python\n{WHOLE}```"
    completion = completion_of(PROMPT, text, "area")
    assert completion is not None
    assert "return math.pi" in completion


def test_an_error_within_the_function_stays_one() -> None:
    """Were the text cut before the error, what is left could pass."""
    for text in (
        f"{WHOLE}    else: 3 3\n",
        f"```python\n{WHOLE}    return (\n```",
        BODY + "    )\n",
    ):
        completion = completion_of(PROMPT, text, "area")
        assert completion is not None
        with pytest.raises(SyntaxError):
            compile(PROMPT + completion, "solution", "exec")


@pytest.mark.parametrize("text", ["", " \n\t\n"])
def test_nothing_is_no_code(text: str) -> None:
    assert completion_of(PROMPT, text, "area") is None
    assert code_in(text) is None


def test_words_alone_are_handed_on_as_they_are() -> None:
    assert completion_of(PROMPT, "I cannot do that.", "area") == "I cannot do that.\n"


@pytest.mark.parametrize(
    "text",
    [
        "def area(r):\n    return " + "+".join(["1"] * 20_000),
        "def area(r):\n    return " + "(" * 20_000,
        "def area(r):\n    return r" + ".a" * 20_000,
        "def area(r):\n    return '\x00'",
        "def area(r):\n    return '\ud800'",
        "def area(r):\n" * 4_000,
        "return\n" * 8_000,
        '"""\n' * 10_000,
        "```\n" * 5_000,
        "def area(r):\n    return 0x" + "f" * 4_000,
        "```python\ndef area(r):\n    return 0x" + "f" * 4_000 + "\n```",
        "def area(r):\r    return r\r",
    ],
    ids=[
        "sum",
        "brackets",
        "attributes",
        "null",
        "surrogate",
        "defs",
        "returns",
        "quotes",
        "fences",
        "number",
        "number in a block",
        "carriage returns",
    ],
)
def test_hostile_code_is_only_read(text: str) -> None:
    assert completion_of(PROMPT, text, "area") is not None
    code_in(text)


_LINES = st.sampled_from(
    [
        "```python",
        "```",
        "~~~",
        "def area(r):",
        "    return r",
        "return r",
        "x = (",
        "words",
        "",
        "   ",
    ]
)


@given(st.lists(_LINES, max_size=20).map("\n".join) | st.text())
def test_every_text_is_taken(text: str) -> None:
    completion = completion_of(PROMPT, text, "area")
    assert (completion is None) == (not text.strip())
    assert (code_in(text) is None) == (not text.strip())


def test_votes_do_not_see_comments_and_spaces() -> None:
    one = "```python\ndef f(x):\n    return x+1  # more\n```"
    assert code_in(one) == code_in("def f( x ):\n\n    return (x + 1)")
    assert code_in(one) != code_in("def f(x):\n    return x + 2")


@pytest.mark.parametrize(
    "text",
    [
        "```python\ndef area(r):\n    return 0x" + "f" * 4000 + "\n```",
        "def area(r: float) -> float:\r    return r\r",
        "    return " + "9" * 5000,
    ],
)
def test_odd_programs_are_taken_as_they_are(text: str) -> None:
    assert "return" in (completion_of(PROMPT, text, "area") or "")
    assert code_in(text)


def test_a_lone_carriage_return_ends_a_line() -> None:
    code = completion_of(PROMPT, "def area(r: float) -> float:\r    return r\r", "area")
    assert code is not None
    space: dict[str, Any] = {}
    exec(PROMPT + code, space)
    assert space["area"](3) == 3
