r"""``jsonl:PATH``: your own problems, one JSON object per line.

::

    {"id": "sum-1", "prompt": "What is 2 + 3?", "answer": "5"}
    {"prompt": "Solve x^2 = 2 for x > 0.", "answer": "\\sqrt{2}", "grading": "math"}
    {"prompt": "Which is even?", "choices": ["3", "4"], "answer": "B"}
    {"prompt": "The capital of France?", "answer": ["Paris", "City of Paris"], "grading": "exact"}

``id`` defaults to the line number. ``grading`` is ``number``, ``math`` (by math-verify), ``choice`` or
``exact`` (ignoring case, spaces and a final full stop); by default, ``choice`` if there are choices,
``number`` if the answer is one, else ``exact``. If an answer contains its solution, as in GSM8K, only the
part after ``####`` counts. Any of several answers is correct. Columns may have the names that other data
sets use (`_ALIASES`). Further fields are kept for the records. Parquet and CSV files work too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import trio

from trio_beam.benchmark.common.problem import BenchmarkError, Grade, Problem
from trio_beam.benchmark.sets import answers
from trio_beam.benchmark.sets.choice import LETTERS, ask, grade_choice, listed
from trio_beam.benchmark.sets.maths import NO_ANSWER, NOT_RIGHT, MathGrader
from trio_beam.benchmark.sets.rows import read_rows

_GRADINGS = ("number", "math", "choice", "exact")
#: Columns, with their names in other data sets.
_ALIASES = {
    "id": (),
    "prompt": ("question", "problem", "input", "query"),
    "answer": ("target", "expected", "expected_answer", "ground_truth", "gold", "label"),
    "grading": (),
    "choices": ("options",),
}


@attrs.frozen(kw_only=True, eq=False)
class JsonLines:
    """The problems of a file."""

    name: str
    path: Path
    instruction: str = (
        "Answer the question. End with the line: Answer: X, where X is the answer and nothing else."
    )
    can_grade: bool = True
    _grader: MathGrader = attrs.field(factory=MathGrader, init=False)
    #: The gradings of the problems that were loaded.
    _gradings: set[str] = attrs.field(factory=set, init=False)

    def load(self, count: int | None, seed: int) -> Sequence[Problem]:
        """Load the first problems of the file."""
        del seed
        rows = read_rows(self.path)
        problems = [self._problem(number, row) for number, row in enumerate(rows, start=1)]
        seen: set[str] = set()
        for problem in problems:
            if problem.id in seen:
                raise BenchmarkError(f"{self.path}: the id {problem.id!r} is there twice")
            seen.add(problem.id)
        if not problems:
            raise BenchmarkError(f"{self.path}: the file has no problems")
        self._gradings.update(problem.reference["grading"] for problem in problems)
        return problems[:count]

    async def check_grading(self) -> None:
        """Read the file, and check the sandbox if math-verify is needed."""
        await trio.to_thread.run_sync(self.load, None, 0)
        if "math" in self._gradings:
            await self._grader.check()

    async def grade(self, problem: Problem, completion: str) -> Grade:
        """Grade by the problem's ``grading``."""
        reference = problem.reference
        right: list[str] = reference["answers"]
        grade = Grade(passed=False, score=0.0, answer=None, detail=NO_ANSWER)
        for one in right:
            grade = await self._grade(reference, one, completion)
            if grade.passed:
                break
        return grade

    def answer_of(self, completion: str) -> str | None:
        """Return the letter or number if all problems ask for one, else the final answer."""
        if self._gradings == {"choice"}:
            return answers.letter_in(completion, LETTERS)
        if self._gradings == {"number"}:
            return answers.number_in(completion)
        found = answers.final_answer(completion)
        return None if found is None else answers.normal_form(found)

    async def aclose(self) -> None:
        """End the verifier."""
        await self._grader.aclose()

    async def _grade(self, reference: dict[str, Any], right: str, completion: str) -> Grade:
        way = reference["grading"]
        if way == "choice":
            return grade_choice(completion, right, reference["choices"])
        if way == "number":
            return await self._grader.grade(answers.number_in(completion), right)
        found = answers.final_answer(completion)
        if way == "math":
            return await self._grader.grade(found, right)
        if found is None:
            return Grade(passed=False, score=0.0, answer=None, detail=NO_ANSWER)
        passed = _plain(found) == _plain(right)
        detail = "" if passed else NOT_RIGHT
        return Grade(passed=passed, score=float(passed), answer=found, detail=detail)

    def _problem(self, number: int, given: dict[str, Any]) -> Problem:
        where = f"{self.path}, problem {number}"
        row, meta = _known_columns(given)
        prompt, choices = row.get("prompt"), row.get("choices")
        if not isinstance(prompt, str) or not prompt.strip():
            raise BenchmarkError(
                f'{where}: "prompt" must be a text (the columns are {", ".join(map(ascii, given))})'
            )
        way = row.get("grading")
        right = _answers(row.get("answer"), where, whole=way in ("exact", "math"))
        way = way or _way(right, choices)
        if way not in _GRADINGS:
            raise BenchmarkError(f'{where}: "grading" must be one of {", ".join(_GRADINGS)}')
        reference: dict[str, Any] = {"answers": right, "grading": way}
        if way == "choice":
            right = [letter.strip().upper() for letter in right]
            listed = _choices(choices, right, where)
            prompt = ask(prompt, listed)
            reference |= {"answers": right, "choices": len(listed)}
        if way == "number" and any(answers.value_of(one) is None for one in right):
            raise BenchmarkError(f'{where}: with the grading number "answer" must be a number')
        return Problem(id=_id(row, number), prompt=prompt, reference=reference, meta=meta)


def _known_columns(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a row's columns under our names, and its other fields; empty cells count as missing."""
    plain = {name.strip().lower(): name for name in given}
    row: dict[str, Any] = {}
    used: set[str] = set()
    for column, aliases in _ALIASES.items():
        for alias in (column, *aliases):
            name = plain.get(alias)
            if name is not None and not _is_empty(given[name]):
                row[column] = given[name]
                used.add(name)
                break
    return row, {name: value for name, value in given.items() if name not in used}


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _id(row: dict[str, Any], number: int) -> str:
    given = row.get("id", number)
    # Tables store 1 as 1.0 in a column with missing values.
    whole = isinstance(given, float) and given.is_integer()
    return str(int(given) if whole else given)


def _answers(given: Any, where: str, *, whole: bool) -> list[str]:
    """Return the correct answers; of a solution with ``####``, the answer after it."""
    found = given if isinstance(given, list) else [given]
    allowed = all(
        isinstance(one, (str, int, float)) and not isinstance(one, bool) and str(one).strip()
        for one in found
    )
    if not found or not allowed:
        raise BenchmarkError(f'{where}: "answer" must be a text, a number, or a list of them')
    texts = [str(one) for one in found]
    return texts if whole else [text.rpartition("####")[2].strip() or text for text in texts]


def _way(right: Sequence[str], choices: Any) -> str:
    if choices is not None:
        return "choice"
    return "number" if all(answers.value_of(one) is not None for one in right) else "exact"


def _choices(choices: Any, right: Sequence[str], where: str) -> list[str]:
    choices = listed(choices)
    if not isinstance(choices, list) or not 2 <= len(choices) <= len(LETTERS):
        raise BenchmarkError(f'{where}: "choices" must be a list of 2 to {len(LETTERS)}')
    letters = LETTERS[: len(choices)]
    if any(len(letter) != 1 or letter not in letters for letter in right):
        raise BenchmarkError(f'{where}: "answer" must be a letter from A to {letters[-1]}')
    return [str(choice) for choice in choices]


def _plain(answer: str) -> str:
    return " ".join(answer.split()).rstrip(".").casefold()
