"""``reasoning_gym:TASK``: problems generated from a seed and graded by the task's verifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from trio_beam.benchmark.common.extra import need_extra
from trio_beam.benchmark.common.nearest import nearest_keys
from trio_beam.benchmark.common.problem import BenchmarkError, Grade, Problem
from trio_beam.benchmark.sandbox import Limits, ProcessFailed, Verifier
from trio_beam.benchmark.sets import answers

_PACKAGE = "reasoning_gym"
#: Default number of problems, since a generator has no end.
_ALL = 500
#: Excluded tasks, which measure nothing, with the reason.
_UNFIT = {"game_of_life_halting": "its verifier takes every answer for a right one"}
#: Limits for generating problems, which happens in the sandbox too.
_MAKING = Limits(seconds=300.0, memory=4 << 30, message=256 << 20)


@attrs.frozen(kw_only=True, eq=False)
class ReasoningGym:
    """A task of reasoning-gym.

    Its verifiers run in the sandbox. If one evaluates an answer as Python, only literals, arithmetic and
    formulas are evaluated.
    """

    name: str
    task: str
    instruction: str = (
        "Solve the problem. Think step by step, then write the final answer, and nothing else, "
        "between <answer> and </answer>."
    )
    can_grade: bool = True
    _verifier: Verifier = attrs.field(
        factory=lambda: Verifier(_PACKAGE, Limits(seconds=20.0)), init=False
    )

    def load(self, count: int | None, seed: int) -> Sequence[Problem]:
        """Load the first problems for the seed, 500 by default."""
        if self.task in _UNFIT:
            raise BenchmarkError(f"{self.name} measures nothing: {_UNFIT[self.task]}")
        need_extra(_PACKAGE)
        wanted = _ALL if count is None else count
        size = max(_ALL, wanted)  # entries of some tasks depend on how many there are
        place = {"task": self.task, "seed": seed, "size": size}
        maker = Verifier(_PACKAGE, _MAKING)
        try:
            made = maker.run_sync("reasoning_gym_make", **place, count=wanted)
        except ProcessFailed as failed:
            raise BenchmarkError(f"{self.name}: {failed.detail}") from None
        if "entries" not in made:
            raise BenchmarkError(self._why_not(made["tasks"], made["error"]))
        return [
            self._problem(place | {"index": index}, entry)
            for index, entry in enumerate(made["entries"])
        ]

    async def check_grading(self) -> None:
        """Check the sandbox."""
        await self._verifier.check()

    async def grade(self, problem: Problem, completion: str) -> Grade:
        """Grade by the verifier's score, which may be partial credit; only a full score passes."""
        answer = self._answer_in(completion)
        if answer is None:
            return Grade(passed=False, score=0.0, answer=None, detail="no answer found")
        place = {key: problem.reference[key] for key in ("task", "seed", "size", "index")}
        try:
            score = await self._verifier.run("reasoning_gym_score", **place, answer=answer)
        except ProcessFailed as failed:
            detail = f"not understood: {failed.detail}"
            return Grade(passed=False, score=0.0, answer=answer, detail=detail)
        if not _is_score(score):
            detail = "the verifier's score is not a number from 0 to 1"
            return Grade(passed=False, score=0.0, answer=answer, detail=detail)
        passed = score == 1.0
        return Grade(
            passed=passed, score=score, answer=answer, detail="" if passed else "wrong answer"
        )

    def answer_of(self, completion: str) -> str | None:
        """Return the answer, ignoring spaces and case."""
        answer = self._answer_in(completion)
        return None if answer is None else " ".join(answer.split()).casefold()

    async def aclose(self) -> None:
        """End the verifier."""
        await self._verifier.aclose()

    def _answer_in(self, completion: str) -> str | None:
        # Text between the tags is used verbatim, because the form of grids and words matters.
        found = answers.tagged(completion)
        return answers.final_answer(completion) if found is None else found

    def _problem(self, reference: dict[str, Any], entry: dict[str, Any]) -> Problem:
        return Problem(
            id=f"{self.name}/{reference['seed']}/{reference['index']}",
            prompt=entry["question"],
            reference=reference | {"answer": entry["answer"]},
            meta={"task": self.task},
        )

    def _why_not(self, tasks: Sequence[str], detail: str) -> str:
        if self.task in tasks:
            return f"{self.name}: the task gives no problems ({detail})"
        nearest = nearest_keys(self.task, tasks)
        meant = f"; did you mean {nearest[0]}?" if nearest else ""
        return f"reasoning-gym has no task {self.task!r}{meant} It has: {', '.join(tasks)}"


def _is_score(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1
