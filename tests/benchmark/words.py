"""A benchmark and a model for tests: nothing to be loaded, nothing to be asked over a network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from trio_beam.benchmark.common.problem import BenchmarkError, Grade, Problem
from trio_beam.benchmark.config import load_settings, parse_args
from trio_beam.benchmark.plan import Plan, make_plan
from trio_beam.benchmark.records import Record
from trio_beam.benchmark.strategies import LabelledStrategy
from trio_beam.core.language_model import LanguageModel


class Words:
    """Problem k is solved by a text in which the word " cat" comes as often as k modulo 3, or oftener."""

    name = "words"
    instruction = "Say something about a cat."

    def __init__(self, size: int = 12, *, can_grade: bool = True) -> None:
        self.size = size
        self.can_grade = can_grade
        self.graded: list[str] = []
        self.cannot_grade = ""
        self.closed = 0

    def load(self, count: int | None, seed: int) -> Sequence[Problem]:
        size = self.size if count is None else min(count, self.size)
        return [
            Problem(
                id=f"words/{k}", prompt=f"The story of cat {k}:", reference=k % 3, meta={"k": k}
            )
            for k in range(size)
        ]

    async def check_grading(self) -> None:
        if self.cannot_grade:
            raise BenchmarkError(self.cannot_grade)

    async def grade(self, problem: Problem, completion: str) -> Grade:
        self.graded.append(problem.id)
        cats = completion.count(" cat")
        passed = cats >= problem.reference
        return Grade(
            passed=passed,
            score=float(passed),
            answer=self.answer_of(completion),
            detail="" if passed else f"{cats} cats",
        )

    def answer_of(self, completion: str) -> str | None:
        return str(completion.count(" cat")) if completion else None

    async def aclose(self) -> None:
        self.closed += 1


class Notes:
    """An observer that writes everything down."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int, int]] = []
        self.records: list[Record] = []
        self.tokens = 0
        self.lines: list[str] = []
        self.debugged: list[list[str]] = []

    def begin(self, strategy: LabelledStrategy, total: int, before: Sequence[Record]) -> None:
        self.begun.append((strategy.kind, total, len(before)))

    def generated(self, tokens: int) -> None:
        self.tokens += tokens

    def finished(self, record: Record) -> None:
        self.records.append(record)

    def say(self, line: str) -> None:
        self.lines.append(line)

    def debug(self, lines: Sequence[str]) -> None:
        self.debugged.append(list(lines))


def plan_of(folder: Path, *words: str) -> Plan:
    """A plan for short texts, in a folder of its own."""
    settings = load_settings(
        parse_args(
            [
                "benchmark.name=words",
                "benchmark.max_tokens=24",
                "output.predictions_dir=null",
                f"output.dir={folder}",
                *words,
            ]
        )
    )
    return make_plan(settings, {})


def opener(model: LanguageModel) -> Callable[[Plan], object]:
    """Make a function that a session calls instead of opening an endpoint."""

    @asynccontextmanager
    async def open_it(plan: Plan) -> AsyncIterator[LanguageModel]:
        yield model

    return open_it
