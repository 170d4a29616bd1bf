"""What a benchmark is: problems with their references, and a way to grade what a model wrote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import attrs

from trio_beam.core.config import real
from trio_beam.errors import TrioBeamError


class BenchmarkError(TrioBeamError):
    """A benchmark cannot be loaded or graded; the message says why, and what to do."""


@attrs.frozen(kw_only=True)
class Problem:
    """One thing to be solved."""

    #: Unique within its benchmark and the same in every run, such as ``HumanEval/0``.
    id: str
    #: What the model is asked, before any template of the run.
    prompt: str
    #: What grading needs; only what JSON can say.
    reference: Any = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Grade:
    """What a completion is worth."""

    passed: bool
    #: From 0 to 1; partial credit is a benchmark's own matter.
    score: float = attrs.field(validator=real(0, most=1))
    #: What was found in the text as its answer: code, a number, a letter. None if nothing was.
    answer: str | None
    #: Why it did not pass, such as ``timed out after 10 s``; empty if it did.
    detail: str = ""


class Benchmark(Protocol):
    """A set of problems with its grading."""

    #: As it is given to `open_benchmark`.
    name: str
    #: What tells a model to answer in the form that the grading reads; "" if nothing has to be said.
    instruction: str

    def load(self, count: int | None, seed: int) -> Sequence[Problem]:
        """The first `count` problems, or all of them; a generator draws them from `seed`.

        It may read files and take seconds: call it in a thread, or before there is anything to delay.

        Raises:
            BenchmarkError: the data cannot be read, or a package is missing; the message says what to do.
        """
        ...

    async def grade(self, problem: Problem, completion: str) -> Grade:
        """Judge one completion. Whatever it holds, this returns, and in bounded time.

        Raises:
            BenchmarkError: the grading itself cannot be done, whatever the completion.
        """
        ...

    def answer_of(self, completion: str) -> str | None:
        """What votes are counted by: equal answers give equal strings; None if there is no answer."""
        ...
