"""``sums``: small sums, which a small model gets right now and then. Nothing has to be loaded."""

from __future__ import annotations

import random
from collections.abc import Sequence

import attrs
import trio

from trio_beam.benchmark.common.problem import Grade, Problem
from trio_beam.benchmark.sets import answers
from trio_beam.benchmark.sets.maths import NO_ANSWER, NOT_RIGHT

_FIRST, _SECOND = range(1, 20), range(1, 10)


@attrs.frozen(kw_only=True, eq=False)
class Sums:
    """The 171 sums of a number below 20 and one below 10, in an order that the seed gives."""

    name: str = "sums"
    instruction: str = "Answer with a number."
    can_grade: bool = True

    def load(self, count: int | None, seed: int) -> Sequence[Problem]:
        """The first sums."""
        pairs = [(first, second) for first in _FIRST for second in _SECOND]
        random.Random(seed).shuffle(pairs)
        return [
            Problem(
                id=f"{first}+{second}",
                prompt=f"{first} + {second} = ?",
                reference={"answer": str(first + second)},
            )
            for first, second in pairs[:count]
        ]

    async def check_grading(self) -> None:
        """Numbers can be compared anywhere."""
        await trio.lowlevel.checkpoint()

    async def grade(self, problem: Problem, completion: str) -> Grade:
        """Right if the number is; how it is written does not matter."""
        await trio.lowlevel.checkpoint()
        found = answers.number_in(completion)
        passed = found == problem.reference["answer"]
        detail = "" if passed else NO_ANSWER if found is None else NOT_RIGHT
        return Grade(passed=passed, score=float(passed), answer=found, detail=detail)

    def answer_of(self, completion: str) -> str | None:
        """Find the number."""
        return answers.number_in(completion)

    async def aclose(self) -> None:
        """Nothing is kept running."""
        await trio.lowlevel.checkpoint()
