"""GSM8K and MATH-500: questions with one answer, a number or an expression."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from trio_beam.benchmark.common.extra import need_extra
from trio_beam.benchmark.common.problem import BenchmarkError, Grade, Problem
from trio_beam.benchmark.sandbox import Limits, ProcessFailed, Verifier
from trio_beam.benchmark.sets import answers
from trio_beam.benchmark.sets.numbers import stated_number
from trio_beam.benchmark.sets.rows import Source, first

_GSM8K = Source(
    folder="gsm8k",
    repository="openai/gsm8k",
    config="main",
    split="test",
    file="test",
    columns=("question", "answer"),
)
_GSM8K_TRAIN = attrs.evolve(_GSM8K, alone="gsm8k-train", split="train", file="train")
_MATH500 = Source(
    folder="math500",
    repository="HuggingFaceH4/MATH-500",
    config=None,
    split="test",
    file="test",
    columns=("problem", "answer", "unique_id"),
)
NOT_RIGHT = "wrong answer"
NO_ANSWER = "no answer found"


class MathGrader:
    """Compares answers by form, by value, and finally by math-verify in the sandbox.

    math-verify evaluates what it reads, so an answer can keep it busy for ever.
    """

    def __init__(self) -> None:
        """Create a grader without starting anything."""
        self._verifier = Verifier("math_verify", Limits(seconds=10.0))

    async def check(self) -> None:
        """Check that math-verify can run.

        Raises:
            BenchmarkError: there is no sandbox on this machine.
        """
        await self._verifier.check()

    async def grade(self, answer: str | None, reference: str) -> Grade:
        """Grade an answer that was found in a text.

        Raises:
            BenchmarkError: there is no sandbox on this machine.
        """
        if answer is None:
            return Grade(passed=False, score=0.0, answer=None, detail=NO_ANSWER)
        detail = ""
        try:
            passed = await self._same(answer, reference)
        except ProcessFailed as failed:
            passed, detail = False, f"not understood: {failed.detail}"
        if not passed:
            detail = detail or NOT_RIGHT
        return Grade(passed=passed, score=float(passed), answer=answer, detail=detail)

    async def aclose(self) -> None:
        """End the verifier."""
        await self._verifier.aclose()

    async def _same(self, answer: str, reference: str) -> bool:
        if answers.normal_form(answer) == answers.normal_form(reference):
            return True
        if None not in (answers.value_of(answer), answers.value_of(reference)):
            return False
        equal = await self._verifier.run("math_equal", answer=answer, reference=reference)
        return equal is True


@attrs.frozen(kw_only=True, eq=False)
class Gsm8k:
    """Grade-school word problems with integer answers: 1,319, and 7,473 for training.

    Attributes:
        name: ``gsm8k``, or ``gsm8k-train``.
    """

    name: str = "gsm8k"
    instruction: str = (
        "Solve the problem step by step. End with the line: The answer is N, where N is a number."
    )
    can_grade: bool = True
    data_dir: Path | None = None
    _grader: MathGrader = attrs.field(factory=MathGrader, init=False)

    def load(self, count: int | None, seed: int) -> Sequence[Problem]:
        """Load the first problems of its split."""
        del seed
        need_extra("math_verify")
        source = _GSM8K_TRAIN if self.name == "gsm8k-train" else _GSM8K
        rows = first(source.rows(self.data_dir), count)
        return [_gsm8k_problem(self.name, number, row) for number, row in enumerate(rows)]

    async def check_grading(self) -> None:
        """Check the sandbox."""
        await self._grader.check()

    async def grade(self, problem: Problem, completion: str) -> Grade:
        """Pass if the number is correct, however it is written."""
        return await self._grader.grade(self.answer_of(completion), problem.reference["answer"])

    def answer_of(self, completion: str) -> str | None:
        """Return the number marked as the answer, else the last one, or a boxed expression."""
        inside = answers.boxed(completion)
        if inside is not None and "\\" in inside and stated_number(inside) is None:
            return inside  # such as a root
        return answers.number_in(completion)

    async def aclose(self) -> None:
        """End the verifier."""
        await self._grader.aclose()


@attrs.frozen(kw_only=True, eq=False)
class Math500:
    r"""500 competition problems with LaTeX expressions as answers."""

    name: str = "math500"
    instruction: str = (
        "Solve the problem step by step. Put the final answer, and nothing else, into \\boxed{}."
    )
    can_grade: bool = True
    data_dir: Path | None = None
    _grader: MathGrader = attrs.field(factory=MathGrader, init=False)

    def load(self, count: int | None, seed: int) -> Sequence[Problem]:
        """Load the first problems of the test split."""
        del seed
        need_extra("math_verify")
        return [_math500_problem(row) for row in first(_MATH500.rows(self.data_dir), count)]

    async def check_grading(self) -> None:
        """Check the sandbox."""
        await self._grader.check()

    async def grade(self, problem: Problem, completion: str) -> Grade:
        """Pass if math-verify considers the answer equal to the reference."""
        return await self._grader.grade(
            answers.final_answer(completion), problem.reference["answer"]
        )

    def answer_of(self, completion: str) -> str | None:
        """Return the answer without typography."""
        found = answers.final_answer(completion)
        return None if found is None else answers.normal_form(found)

    async def aclose(self) -> None:
        """End the verifier."""
        await self._grader.aclose()


def _gsm8k_problem(name: str, number: int, row: dict[str, Any]) -> Problem:
    _, mark, last = str(row["answer"]).rpartition("####")
    value = answers.value_of(last)
    if not mark or value is None:
        raise BenchmarkError(f"{name}: row {number} has no answer behind ####: {row['answer']!r}")
    return Problem(
        id=f"{name}/{number}", prompt=str(row["question"]), reference={"answer": str(value)}
    )


def _math500_problem(row: dict[str, Any]) -> Problem:
    meta = {key: row[key] for key in ("subject", "level") if row.get(key) is not None}
    return Problem(
        id=f"math500/{row['unique_id']}",
        prompt=str(row["problem"]),
        reference={"answer": str(row["answer"])},
        meta=meta,
    )
