"""Run every strategy on every problem, several problems concurrently, with one record each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import attrs
import msgspec
import trio

from trio_beam.benchmark.common.problem import Benchmark, BenchmarkError, Problem
from trio_beam.benchmark.plan import Plan
from trio_beam.benchmark.prompts import build_prompt
from trio_beam.benchmark.records import Record, digest_of_problem
from trio_beam.benchmark.store import Store
from trio_beam.benchmark.strategies import LabelledStrategy
from trio_beam.core.events import BeamExpanded, Event, Observer, RoundFinished
from trio_beam.core.language_model import LanguageModel
from trio_beam.core.result import SearchFailed
from trio_beam.endpoint.retry import is_hopeless, is_transient
from trio_beam.errors import EndpointError, TrioBeamError
from trio_beam.observers.debug import DebugLines
from trio_beam.records import facts_of
from trio_beam.records.run_stopped import RunStopped


class Unanswered(Exception):
    """A problem was not answered for a reason that says nothing about the model: there is no record."""


class RunObserver(Protocol):
    """Observes a run. Called inline; must not block."""

    def begin(self, strategy: LabelledStrategy, total: int, before: Sequence[Record]) -> None:
        """Called when a strategy starts; `before` are the existing records."""

    def generated(self, tokens: int) -> None:
        """Called when a search of the strategy that began last has generated tokens."""

    def finished(self, record: Record) -> None:
        """Called when a record of the current strategy is on disk."""

    def say(self, line: str) -> None:
        """Show a line to the user."""

    def debug(self, lines: Sequence[str]) -> None:
        """Show debug lines of one search."""


class Run:
    """One run. `wanted` and `answered` may be read while it runs and after it was cancelled."""

    def __init__(
        self,
        plan: Plan,
        benchmark: Benchmark,
        store: Store,
        observer: RunObserver,
        observers_of: Callable[[str], Sequence[Observer]] = lambda _: (),
    ) -> None:
        self._plan = plan
        self._benchmark = benchmark
        self._store = store
        self._observer = observer
        self._observers_of = observers_of  # of each search, by its label
        self._problems: Sequence[Problem] = ()
        self._failures_in_a_row = 0

    async def load(self) -> None:
        """Load the problems, skipping and reporting those that cannot be sent to a server.

        Raises:
            BenchmarkError: they cannot be loaded, or none is left.
        """
        group = self._plan.settings.benchmark
        problems = await trio.to_thread.run_sync(
            self._benchmark.load, group.num_problems, group.seed or 0
        )
        self._problems = [problem for problem in problems if problem.is_text]
        for problem in problems:
            if not problem.is_text:
                self._observer.say(
                    f"problem {ascii(problem.id)[1:-1]} is left out: it has characters that are no"
                    " text (a lone surrogate, or bytes of another encoding)"
                )
        if problems and not self._problems:
            raise BenchmarkError(f"{self._benchmark.name}: no problem is left")

    @property
    def problems(self) -> Sequence[Problem]:
        """The problems, once they are loaded."""
        return self._problems

    def records(self, strategy: LabelledStrategy) -> list[Record]:
        """Return the records of a strategy, in problem order."""
        return [record for _, record in self.answered(strategy)]

    def answered(self, strategy: LabelledStrategy) -> list[tuple[Problem, Record]]:
        """Return the problems that have a record of a strategy, in order, with that record."""
        pairs = self._pairs(strategy)
        return [(problem, record) for problem, record in pairs if record is not None]

    def wanted(self, strategy: LabelledStrategy) -> int:
        """Number of answers of a strategy."""
        return len(self._problems) * strategy.samples

    def unanswered(self) -> int:
        """Number of answers that are missing or to be retried, over all strategies."""
        return sum(len(self._left(strategy)) for strategy in self._plan.strategies)

    def missing(self) -> int:
        """Count the answers without a record, all strategies together."""
        return sum(
            record is None for one in self._plan.strategies for _, record in self._pairs(one)
        )

    def failed(self) -> int:
        """Count the records of failures, all strategies together."""
        return sum(
            bool(record.error) for one in self._plan.strategies for record in self.records(one)
        )

    def import_records(self, records: Sequence[Record]) -> None:
        """Import records from another folder that this run would otherwise repeat."""
        found = {record.key: record for record in records if not record.error}
        for strategy in self._plan.strategies:
            for problem, sample, old in self._answers(strategy):
                key = self._plan.key(problem, strategy, sample)
                if old is None and key in found:
                    self._store.append(found[key])

    async def grade(self) -> None:
        """Grade the answers that have not been graded.

        Raises:
            BenchmarkError: nothing can be graded on this machine; in an `ExceptionGroup`.
        """
        if not self._benchmark.can_grade:
            return
        pairs = [
            (problem, record)
            for strategy in self._plan.strategies
            for problem, record in self._pairs(strategy)
            if record is not None and self._needs_grade(record)
        ]
        if pairs:
            self._observer.say(
                f"{len(pairs)} answers are there without a grade: they are graded first"
            )
        jobs = iter(pairs)
        async with trio.open_nursery() as nursery:
            for _ in range(min(self._width, len(pairs))):
                nursery.start_soon(self._grade, jobs)

    async def answer(self, model: LanguageModel) -> None:
        """Answer and grade every problem without a record.

        Strategies run one after the other, so that each has the model to itself. A problem that the
        server did not answer (no connection, a timeout, 429, 5xx) has no record, and is named.

        Raises:
            RunStopped: the server is unreachable or refuses requests, or too many problems in a row failed;
                in an `ExceptionGroup`.
            BenchmarkError, ConfigError: from grading and searches; in an `ExceptionGroup`.
        """
        for strategy in self._plan.strategies:
            left = self._left(strategy)
            again = {(problem.id, sample) for problem, sample in left}
            before = [
                one for one in self.records(strategy) if (one.problem, one.sample) not in again
            ]
            self._observer.begin(strategy, self.wanted(strategy), before)
            jobs = iter(left)
            async with trio.open_nursery() as nursery:
                for _ in range(min(self._width, len(left))):
                    nursery.start_soon(self._work, model, strategy, jobs)

    @property
    def _width(self) -> int:
        return self._plan.settings.benchmark.max_concurrent_problems

    def _answers(self, strategy: LabelledStrategy) -> Iterator[tuple[Problem, int, Record | None]]:
        """The answers of a strategy, each with its problem, its number and its record, if there is one."""
        for problem in self._problems:
            for sample in range(strategy.samples):
                record = self._store.get(self._plan.key(problem, strategy, sample))
                yield problem, sample, record

    def _pairs(self, strategy: LabelledStrategy) -> Iterator[tuple[Problem, Record | None]]:
        return ((problem, record) for problem, _, record in self._answers(strategy))

    def _left(self, strategy: LabelledStrategy) -> list[tuple[Problem, int]]:
        again = self._plan.settings.output.retry_failed
        return [
            (problem, sample)
            for problem, sample, record in self._answers(strategy)
            if record is None or (again and record.error and not record.text)
        ]

    def _needs_grade(self, record: Record) -> bool:
        """Whether an answer was never graded, or its grading broke and is to be tried again."""
        again = self._plan.settings.output.retry_failed
        return record.passed is None or bool(again and record.error and record.text)

    async def _grade(self, jobs: Iterator[tuple[Problem, Record]]) -> None:
        for problem, record in jobs:
            self._store.append(await self._graded(problem, record))

    async def _work(
        self,
        model: LanguageModel,
        strategy: LabelledStrategy,
        jobs: Iterator[tuple[Problem, int]],
    ) -> None:
        """Process problems until none is left."""
        for problem, sample in jobs:
            try:
                record = await self._answer(model, strategy, problem, sample)
            except Unanswered as error:
                self._observer.say(f"problem {ascii(problem.id)[1:-1]} has no answer: {error}")
                self._count_failures(str(error))
                continue
            # Paid for, so it is on disk before anything else is done with it.
            record = self._store.append(record)
            if not record.error and self._benchmark.can_grade:
                record = self._store.append(await self._graded(problem, record))
            self._observer.finished(record)
            self._count_failures(record.error)

    async def _answer(
        self, model: LanguageModel, strategy: LabelledStrategy, problem: Problem, sample: int
    ) -> Record:
        """Search, and return an ungraded record.

        Raises:
            Unanswered: there is nothing to record.
            RunStopped: every other problem would fare the same.
        """
        prompt = build_prompt(
            self._plan.settings.prompt,
            problem.prompt,
            instruction=self._benchmark.instruction,
            suffix=strategy.suffix,
        )
        seed = strategy.seed(self._plan.settings.benchmark.seed, problem.id, sample)
        watch = _Watch(self._observer.generated)
        label = f"{strategy.label}: {problem.id}"
        observers: list[Observer] = [watch, *self._observers_of(label)]
        lines: list[str] = []
        if strategy.debug:
            observers.append(DebugLines(lines.append))
        error = ""
        start = trio.current_time()
        try:
            result = await strategy.search(
                model, prompt, seed, observers, vote_key=self._benchmark.answer_of
            )
        except SearchFailed as failed:
            _raise_unless_answered(failed)
            result, error = failed.partial, str(failed)
        finally:
            if lines:  # in one call, since searches run concurrently
                self._observer.debug([f"{problem.id}:", *lines])
        seconds = trio.current_time() - start
        watch.has_generated(result.usage.completion_tokens)
        return Record(
            problem=problem.id,
            digest=digest_of_problem(problem),
            strategy=strategy.kind,
            label=strategy.label,
            configuration=self._plan.configuration(strategy),
            sample=sample,
            seed=seed,
            text="" if error else result.text,
            passed=False if error else None,
            score=0.0 if error else None,
            answer=None,
            detail=error,
            search_score=None if error else finite(result.score),
            round_scores=watch.scores,
            seconds=seconds,
            error=error,
            meta=problem.meta,
            **facts_of(result),
        )

    async def _graded(self, problem: Problem, record: Record) -> Record:
        """Return the record with its grade; a text that breaks the grader fails."""
        try:
            grade = await self._benchmark.grade(problem, record.text)
        except TrioBeamError:
            raise  # nothing can be graded on this machine
        except Exception as error:  # other people's graders, and any text that a model writes
            said = f"the grading broke: {type(error).__name__}: {error}"
            return msgspec.structs.replace(record, passed=False, score=0.0, detail=said, error=said)
        return msgspec.structs.replace(
            record,
            passed=grade.passed,
            score=grade.score,
            answer=grade.answer,
            detail=grade.detail,
            error="",
        )

    def _count_failures(self, error: str) -> None:
        self._failures_in_a_row = self._failures_in_a_row + 1 if error else 0
        if self._failures_in_a_row >= self._plan.settings.benchmark.stop_after_failures:
            raise RunStopped(
                f"{self._failures_in_a_row} problems in a row failed, so the run stops here;"
                f" the last error: {error}. Everything is kept: once that is mended, the"
                " same command with output.retry_failed=true tries them again"
            )


def _raise_unless_answered(failed: SearchFailed) -> None:
    """Raise for a failure that says nothing about the model's answer to this problem.

    Raises:
        RunStopped: every other problem would meet it as well.
        Unanswered: another attempt may end otherwise.
    """
    for failure in failed.failures:
        if is_hopeless(failure.error):
            raise RunStopped(
                f"no problem would fare better, so the run stops here: {failure.error}. Everything is"
                " kept: once that is mended, the same command goes on"
            ) from failed
    for failure in failed.failures:
        if isinstance(failure.error, EndpointError) and is_transient(failure.error):
            raise Unanswered(str(failure.error)) from failed


@attrs.define
class _Watch:
    """Observer that keeps the best score of each round, and hands on how many tokens were generated."""

    generated: Callable[[int], object]
    scores: list[float | None] = attrs.field(factory=list)
    _tokens: int = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, RoundFinished):
            self.scores.append(finite(event.best_score))
        if isinstance(event, BeamExpanded):
            self.has_generated(self._tokens + event.tokens)

    def has_generated(self, tokens: int) -> None:
        """Hand on what is more than before; the count is that of the search so far."""
        if tokens > self._tokens:
            self.generated(tokens - self._tokens)
            self._tokens = tokens


def finite(score: float) -> float | None:
    """Return a JSON-compatible score: None for minus infinity."""
    return score if math.isfinite(score) else None
