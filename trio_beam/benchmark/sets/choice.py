"""MMLU and GPQA: questions with four choices, answered by a letter."""

from __future__ import annotations

import ast
import contextlib
import hashlib
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import attrs
import trio

from trio_beam.benchmark.common.problem import BenchmarkError, Grade, Problem
from trio_beam.benchmark.sets import answers
from trio_beam.benchmark.sets.mmlu_subjects import SUBJECTS
from trio_beam.benchmark.sets.rows import Source, first

LETTERS = "ABCDEFGHIJ"
_INSTRUCTION = (
    "Answer the question. Think step by step, then end with the line: Answer: X, where X is the "
    "letter of the right choice."
)
_MMLU = Source(
    folder="mmlu",
    repository="cais/mmlu",
    config="all",
    split="test",
    file="test",
    columns=("question", "subject", "choices", "answer"),
)
_GPQA = Source(
    folder="gpqa",
    repository="Idavidrein/gpqa",
    config="gpqa_diamond",
    split="train",
    file="gpqa_diamond",
    columns=("Question", "Correct Answer", *(f"Incorrect Answer {n}" for n in (1, 2, 3))),
    advice="It is given only to those who accept its terms on the hub and then log in there (HF_TOKEN).",
)


class _Choice:
    """Shared by both: grading by the letter."""

    instruction = _INSTRUCTION
    can_grade = True

    async def check_grading(self) -> None:
        """Do nothing: comparing letters needs no tools."""
        await trio.lowlevel.checkpoint()

    async def grade(self, problem: Problem, completion: str) -> Grade:
        """Grade by the letter."""
        await trio.lowlevel.checkpoint()
        return grade_choice(completion, problem.reference["answer"], problem.reference["choices"])

    def answer_of(self, completion: str) -> str | None:
        """Find the letter."""
        return answers.letter_in(completion, LETTERS[:4])

    async def aclose(self) -> None:
        """Do nothing: nothing is kept running."""
        await trio.lowlevel.checkpoint()


@attrs.frozen(kw_only=True, eq=False)
class Mmlu(_Choice):
    """14,042 questions of 57 subjects. The first of each subject come first, then the second of each.

    Attributes:
        name: ``mmlu``, or one of `SUBJECTS` for a part of it.
    """

    name: str = "mmlu"
    data_dir: Path | None = None

    def load(self, count: int | None, seed: int) -> Sequence[Problem]:
        """Load the first problems, alternating subjects so that a few problems cover several."""
        del seed
        wanted = SUBJECTS.get(self.name)
        subjects: defaultdict[str, list[Problem]] = defaultdict(list)
        for row in _MMLU.rows(self.data_dir):
            subject = str(row["subject"])
            if wanted is None or subject in wanted:
                subjects[subject].append(_mmlu_problem(len(subjects[subject]), row))
        if not subjects:
            raise BenchmarkError(f"{self.name}: the data has no question of its subjects")
        in_turn = chain.from_iterable(zip_longest(*subjects.values()))
        return [problem for problem in in_turn if problem is not None][:count]


@attrs.frozen(kw_only=True, eq=False)
class Gpqa(_Choice):
    """198 questions (GPQA diamond) that search engines cannot answer."""

    name: str = "gpqa"
    data_dir: Path | None = None

    def load(self, count: int | None, seed: int) -> Sequence[Problem]:
        """Load the first problems, each with its own order of choices, the same in every run."""
        del seed
        rows = first(_GPQA.rows(self.data_dir), count)
        return [_gpqa_problem(number, row) for number, row in enumerate(rows)]


def grade_choice(completion: str, right: str, count: int) -> Grade:
    """Grade the letter that a text chooses among the first `count`."""
    found = answers.letter_in(completion, LETTERS[:count])
    passed = found == right
    detail = "" if passed else "no letter found" if found is None else f"wrong answer: {found}"
    return Grade(passed=passed, score=float(passed), answer=found, detail=detail)


def ask(question: str, choices: Sequence[str]) -> str:
    """Format a question with its choices, one per line."""
    lines = [f"{letter}) {choice}" for letter, choice in zip(LETTERS, choices, strict=False)]
    return "\n".join([question.strip(), "", *lines])


def _mmlu_problem(number: int, row: dict[str, Any]) -> Problem:
    subject = str(row["subject"])
    choices, place = listed(row["choices"]), _place(row["answer"])
    if len(choices) != 4 or not 0 <= place < 4:
        raise BenchmarkError(
            f"mmlu: question {number} of {subject} has not four choices and an answer"
        )
    return Problem(
        id=f"mmlu/{subject}/{number}",
        prompt=ask(str(row["question"]), [str(choice) for choice in choices]),
        reference={"answer": LETTERS[place], "choices": 4},
        meta={"subject": subject},
    )


def listed(choices: Any) -> Sequence[Any]:
    """Return the choices as a list, from a list, a labelled mapping or a CSV text."""
    if isinstance(choices, dict):
        choices = choices.get("text")
    with contextlib.suppress(ValueError, SyntaxError):
        choices = ast.literal_eval(choices) if isinstance(choices, str) else choices
    return choices if isinstance(choices, list) else ()


def _place(answer: Any) -> int:
    """Return the index of the correct choice from a number or a letter; -1 if it is neither."""
    text = str(answer).strip()
    return LETTERS.find(text) if len(text) == 1 and text in LETTERS else _whole(text)


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 3 else -1


def _gpqa_problem(number: int, row: dict[str, Any]) -> Problem:
    right = str(row["Correct Answer"]).strip()
    choices = [right, *(str(row[f"Incorrect Answer {n}"]).strip() for n in (1, 2, 3))]
    name = str(row.get("Record ID") or number)
    order = sorted(range(4), key=lambda place: hashlib.sha256(f"{name}/{place}".encode()).digest())
    meta = {"subject": row["Subdomain"]} if row.get("Subdomain") else {}
    return Problem(
        id=f"gpqa/{name}",
        prompt=ask(str(row["Question"]), [choices[place] for place in order]),
        reference={"answer": LETTERS[order.index(0)], "choices": 4},
        meta=meta,
    )
