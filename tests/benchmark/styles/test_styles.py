"""Each style is graded as a person would: the right answer passes, and nothing else does.

The share of styles that are graded rightly is printed at the end of the tests (`conftest.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import trio

from tests.benchmark.styles import code, formulas, letters, numbers
from tests.benchmark.styles.style import Style, Text
from trio_beam.benchmark.common.problem import Problem
from trio_beam.benchmark.sets import answers
from trio_beam.benchmark.sets.choice import grade_choice
from trio_beam.benchmark.sets.code_answer import completion_of
from trio_beam.benchmark.sets.humaneval import HumanEval
from trio_beam.benchmark.sets.maths import Gsm8k, Math500

#: Styles that are graded wrongly, with the reason.
WRONG: dict[tuple[str, str], str] = {}


def styles(kind: str, table: Mapping[str, Style]) -> list[object]:
    return [
        pytest.param(
            style,
            id=name,
            marks=[pytest.mark.xfail(reason=WRONG[kind, name])] if (kind, name) in WRONG else [],
        )
        for name, style in table.items()
    ]


def is_right(text: Text, passed: bool) -> None:
    assert passed == text.right, text


@pytest.mark.parametrize("style", styles("numbers", numbers.STYLES))
def test_numbers(style: Style) -> None:
    for text in style.texts(*numbers.DEFAULTS):
        found = Gsm8k().answer_of(text.text)
        is_right(
            text, found is not None and answers.value_of(found) == answers.value_of(text.reference)
        )


@pytest.mark.parametrize("style", styles("letters", letters.STYLES))
def test_letters(style: Style) -> None:
    for text in style.texts(*letters.DEFAULTS):
        is_right(text, grade_choice(text.text, text.reference, 4).passed)


@pytest.fixture(scope="module")
def formula_grades() -> dict[Text, bool]:
    """All grades by one process of math-verify; one direction of each style, since each takes a fork."""
    texts = [
        text
        for style in formulas.STYLES.values()
        for text in [*style.texts(*formulas.DEFAULTS)][:2]
    ]

    async def grade_all() -> dict[Text, bool]:
        benchmark = Math500()
        grades = {}
        try:
            with trio.fail_after(200):
                for text in texts:
                    problem = Problem(id="", prompt="", reference={"answer": text.reference})
                    grades[text] = (await benchmark.grade(problem, text.text)).passed
        finally:
            await benchmark.aclose()
        return grades

    return trio.run(grade_all)


@pytest.mark.parametrize("style", styles("formulas", formulas.STYLES))
def test_formulas(style: Style, formula_grades: Mapping[Text, bool]) -> None:
    for text in [*style.texts(*formulas.DEFAULTS)][:2]:
        is_right(text, formula_grades[text])


@pytest.mark.parametrize("style", styles("code", code.STYLES))
def test_code(style: Style) -> None:
    """The programs are our own, so they are run right here."""
    for text in style.texts():
        if text.reference == "right":
            is_right(text, code.passes(completion_of(code.PROMPT, text.text, "total")))


async def test_a_few_programs_in_the_sandbox() -> None:
    """What is run there is what was found in the answer."""
    benchmark = HumanEval(can_grade=True)
    tests = "def check(f):\n    assert [f([]), f([1, 2]), f([3, 4, 5])] == [0, 3, 12]\n"
    reference = {"entry_point": "total", "test": tests}
    problem = Problem(id="", prompt=code.PROMPT, reference=reference)
    with trio.fail_after(100):
        for name in ("corrected in another block", "a helper that is mended", "only a draft"):
            for text in code.STYLES[name].texts():
                if text.reference == "right":
                    is_right(text, (await benchmark.grade(problem, text.text)).passed)
    await benchmark.aclose()


def test_there_are_sixty_of_each_kind() -> None:
    tables = (numbers.STYLES, formulas.STYLES, letters.STYLES, code.STYLES)
    assert all(len(table) >= 60 for table in tables)


@pytest.mark.parametrize("table", [numbers.STYLES, formulas.STYLES, letters.STYLES, code.STYLES])
def test_to_find_the_reference_somewhere_is_not_enough(table: Mapping[str, Style]) -> None:
    """Many styles have the reference as a draft, so that a grader that is easily pleased fails."""
    drafts = sum("{B}" in style.text or not style.answers for style in table.values())
    assert drafts >= 20
