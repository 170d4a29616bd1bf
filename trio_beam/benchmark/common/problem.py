"""What a benchmark is: problems that a model is asked, and the grading of what it says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import attrs

from trio_beam.errors import TrioBeamError


class BenchmarkError(TrioBeamError):
    """Problems cannot be loaded or graded here: a package, a file or the hub is missing.

    Never for what a model wrote: whatever that is, it has a `Grade`.
    """


@attrs.frozen(kw_only=True)
class Problem:
    """One question.

    Attributes:
        id: unique within its benchmark and the same in every run, such as ``HumanEval/0``.
        prompt: what the model is asked; the user's message, before any template.
        reference: what grading needs, JSON-able.
        meta: what else is known of it (subject, level), JSON-able; for the records.
    """

    id: str
    prompt: str
    reference: Any
    meta: dict[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Grade:
    """What an answer is worth.

    Attributes:
        passed: whether it counts as right.
        score: from 0 to 1; between them only where the benchmark gives parts of a point.
        answer: what was found in the text as its answer (code, a number, a letter); None if nothing.
        detail: why it did not pass: ``wrong answer``, ``timed out after 10 s``, ``SyntaxError: ...``.
    """

    passed: bool
    score: float
    answer: str | None
    detail: str = ""


class Benchmark(Protocol):
    """Problems, and how they are graded."""

    @property
    def name(self) -> str:
        """As `open_benchmark` was given it."""

    @property
    def instruction(self) -> str:
        """What tells a model to answer in a way that the grading finds; "" if nothing has to be said."""

    @property
    def can_grade(self) -> bool:
        """Whether answers may be graded; where they are programs, only if those may be run."""

    def load(self, count: int | None, seed: int) -> Sequence[Problem]:
        """The first `count` problems, or all; where problems are generated, those of `seed`.

        It reads files and may take seconds.

        Raises:
            BenchmarkError: they are not to be had; the message says what to do.
        """

    async def grade(self, problem: Problem, completion: str) -> Grade:
        """Grade what a model said. If it is cancelled, nothing of it is left running.

        Raises:
            BenchmarkError: the grading cannot be done on this machine.
        """

    def answer_of(self, completion: str) -> str | None:
        """The answer in a text, as equal answers should look alike: what is voted on."""

    async def aclose(self) -> None:
        """End what grading keeps running. Once is enough, more than once does no harm."""
