"""The interface of benchmarks: problems and the grading of answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol

import attrs

from trio_beam.errors import TrioBeamError


class BenchmarkError(TrioBeamError):
    """Problems cannot be loaded or graded: a package, a file or the hub is missing.

    Never raised because of a model's answer: any text gets a `Grade`.
    """


@attrs.frozen(kw_only=True)
class Problem:
    """One question.

    Attributes:
        id: unique within its benchmark and the same in every run, such as ``HumanEval/0``.
        prompt: the question, before any template.
        reference: data for grading, JSON-compatible.
        meta: subject, level and the like, JSON-compatible; for the records.
    """

    id: str
    prompt: str
    reference: Any
    meta: dict[str, Any] = attrs.field(factory=dict)

    @property
    def is_text(self) -> bool:
        """Return whether all of its text can be encoded; lone surrogates cannot."""
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
        passed: whether it counts as correct.
        score: from 0 to 1; fractions only if the benchmark gives partial credit.
        answer: the answer found in the text (code, a number, a letter), or None.
        detail: why it did not pass: ``wrong answer``, ``timed out after 10 s``, ``SyntaxError: ...``.
    """

    passed: bool
    score: float
    answer: str | None
    detail: str = ""


class Benchmark(Protocol):
    """A set of problems and their grading."""

    @property
    def name(self) -> str:
        """The name given to `open_benchmark`."""

    @property
    def instruction(self) -> str:
        """Tells a model how to answer so that the grading finds it; "" if not needed."""

    @property
    def can_grade(self) -> bool:
        """Whether answers may be graded; programs only if they may be run."""

    def load(self, count: int | None, seed: int) -> Sequence[Problem]:
        """Load the first `count` problems, or all; generated problems depend on `seed`.

        Reads files and may take seconds.

        Raises:
            BenchmarkError: they cannot be loaded; the message says what to do.
        """

    async def check_grading(self) -> None:
        """Check that answers can be graded on this machine, before any is paid for.

        Raises:
            BenchmarkError: they cannot be graded; the message says why and what to do.
        """

    async def grade(self, problem: Problem, completion: str) -> Grade:
        """Grade a model's answer. A cancellation leaves nothing running.

        Raises:
            BenchmarkError: answers cannot be graded on this machine.
        """

    def answer_of(self, completion: str) -> str | None:
        """Return the answer in a text in a canonical form, for votes."""

    async def aclose(self) -> None:
        """End everything that grading keeps running. May be called repeatedly."""
