"""A benchmark: problems that a model is asked, and the grading of its answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol

import attrs

from trio_beam.errors import TrioBeamError


class BenchmarkError(TrioBeamError):
    """Problems cannot be loaded or graded here: a package, a file or the hub is missing.

    Never raised for a model's answer: any text has a `Grade`.
    """


@attrs.frozen(kw_only=True)
class Problem:
    """One question.

    Attributes:
        id: unique within its benchmark and the same in every run, such as ``HumanEval/0``.
        prompt: the question; the user's message, before any template.
        reference: needed for grading, JSON-able.
        meta: its subject, its level and the like, JSON-able; for the records.
    """

    id: str
    prompt: str
    reference: Any
    meta: dict[str, Any] = attrs.field(factory=dict)

    @property
    def is_text(self) -> bool:
        """Whether all of it can be encoded: a lone surrogate cannot."""
        try:
            everything = [self.id, self.prompt, self.reference]
            json.dumps(everything, ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError:
            return False
        return True


@attrs.frozen(kw_only=True)
class Grade:
    """The grade of an answer.

    Attributes:
        passed: whether it counts as right.
        score: from 0 to 1; between them only where the benchmark gives parts of a point.
        answer: found in the text as its answer (code, a number, a letter); None if there is none.
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
        """The name that `open_benchmark` was given."""

    @property
    def instruction(self) -> str:
        """Tells a model to answer in a way that the grading finds; "" if nothing has to be said."""

    @property
    def can_grade(self) -> bool:
        """Whether answers may be graded; where they are programs, only if those may be run."""

    def load(self, count: int | None, seed: int) -> Sequence[Problem]:
        """Load the first `count` problems, or all; where problems are generated, those of `seed`.

        It reads files and may take seconds.

        Raises:
            BenchmarkError: they cannot be loaded; the message says what to do.
        """

    async def check_grading(self) -> None:
        """Make sure that answers can be graded on this machine, before any is paid for.

        Raises:
            BenchmarkError: they cannot; the message says why, and what to do.
        """

    async def grade(self, problem: Problem, completion: str) -> Grade:
        """Grade a model's answer. If it is cancelled, nothing of it is left running.

        Raises:
            BenchmarkError: the grading cannot be done on this machine.
        """

    def answer_of(self, completion: str) -> str | None:
        """Find the answer in a text, in a form that is the same for equal answers; votes count it."""

    async def aclose(self) -> None:
        """End all that grading keeps running. May be called more than once."""
