"""Execute a command: its run, or the runs of a sweep in sequence, and their results."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack
from pathlib import Path

import attrs
import trio
from rich.console import Console

from trio_beam.benchmark.common.problem import Benchmark, Problem
from trio_beam.benchmark.config import to_yaml
from trio_beam.benchmark.display import show
from trio_beam.benchmark.files import file_name, write_atomic
from trio_beam.benchmark.keys import canonical
from trio_beam.benchmark.origin import Origin
from trio_beam.benchmark.overrides import Override
from trio_beam.benchmark.plan import Plan
from trio_beam.benchmark.progress import progress
from trio_beam.benchmark.records import Record
from trio_beam.benchmark.report import write_report
from trio_beam.benchmark.run import Run
from trio_beam.benchmark.store import Store, read_records
from trio_beam.benchmark.summary import Batch
from trio_beam.benchmark.tables import Results
from trio_beam.command.observing import close_trace, observers_of_search
from trio_beam.core.events import Observer
from trio_beam.core.language_model import LanguageModel
from trio_beam.core.printable import printable
from trio_beam.observers.log import Log
from trio_beam.observers.trace import Trace
from trio_beam.records.identity import digest_of


def open_model(plan: Plan) -> AbstractAsyncContextManager[LanguageModel]:
    """Open the endpoint of a plan."""
    return plan.model.open()


def open_problems(plan: Plan) -> Benchmark:
    """Open the benchmark of a plan.

    Raises:
        ConfigError: the name is unknown.
    """
    from trio_beam.benchmark.registry import open_benchmark  # noqa: PLC0415  # only when needed

    group = plan.settings.benchmark
    return open_benchmark(
        group.name,
        allow_code_execution=group.allow_code_execution,
        data_dir=None if group.data_dir is None else Path(group.data_dir),
    )


#: Groups whose keys affect every strategy.
_SHARED = ("model", "benchmark", "prompt")


@attrs.frozen(kw_only=True)
class PlannedRun:
    """A plan and its place in a sweep.

    Attributes:
        swept: the overrides of its combination in the sweep.
        warnings: lines to print before it runs.
    """

    plan: Plan
    swept: Sequence[Override] = ()
    warnings: Sequence[str] = ()


@attrs.define(kw_only=True, eq=False)
class Session:
    """The work of a command.

    Attributes:
        planned: one run, or those of a sweep.
        out: where results are printed.
        err: where progress is shown.
        trace: gets every search, with its strategy and its problem as label.
        log: observes every search.
        command: as a shell takes it, for the report; "" if there is none.
        open_model: opens the model of a plan.
        open_problems: opens the benchmark of a plan.
    """

    planned: Sequence[PlannedRun]
    out: Console
    err: Console
    command: str = ""
    trace: Trace | None = None
    log: Log | None = None
    open_model: Callable[[Plan], AbstractAsyncContextManager[LanguageModel]] = open_model
    open_problems: Callable[[Plan], Benchmark] = open_problems
    _runs: list[tuple[PlannedRun, Run]] = attrs.field(factory=list, init=False)

    async def __call__(self, nursery: trio.Nursery) -> int:
        """Execute all planned runs, print the table, and return the exit code.

        It is 1 if a problem was not answered, or if all problems of a strategy failed.

        Raises:
            FolderInUse, RunStopped, BenchmarkError, ConfigError: possibly in an `ExceptionGroup`. Everything
                finished so far is on disk, and its table has been printed.
        """
        del nursery  # each run has its own
        try:
            await self._run_all()
        except Exception:
            self._show_finished()
            raise
        results = self._results()
        show(results, self.out)
        if len(self.planned) > 1 and self.planned[0].plan.settings.output.save_results:
            folder = self._folder_of_sweep()
            await self._write(results, folder, self.planned[0].plan, [run for _, run in self._runs])
        if any(row.problems and row.passed is None for row in results.rows):
            self._say(
                "the answers are programs and were not graded: add benchmark.allow_code_execution=true"
                " to run them in a sandbox; the answers are kept"
            )
        return max(self._say_what_is_missing(), close_trace(self.trace))

    def _say_what_is_missing(self) -> int:
        """Name the answers that there are not, and return the exit code."""
        code = 0
        if missing := sum(run.missing() for _, run in self._runs):
            self._say(f"{missing} answers are missing: the same command asks for them again")
            code = 1
        for planned, run in self._runs:
            for strategy in planned.plan.strategies:
                found = run.records(strategy)
                if found and all(record.error for record in found):
                    self._say(
                        f"{strategy.label}: no problem was answered, so nothing was measured"
                        f" (output.retry_failed=true tries again): {found[-1].error}"
                    )
                    code = 1
        return code

    def interrupted(self) -> None:
        """Print the table of finished work, after everything was cancelled."""
        self._show_finished()
        self._say("interrupted: everything finished is kept; the same command goes on from here")

    def _show_finished(self) -> None:
        if any(run.records(s) for one, run in self._runs for s in one.plan.strategies):
            show(self._results(), self.out)

    async def _run_all(self) -> None:
        async with AsyncExitStack() as stack:
            opened = [self.open_problems(planned.plan) for planned in self.planned]
            for benchmark in opened:
                stack.push_async_callback(benchmark.aclose)
            for benchmark in opened:
                await (
                    benchmark.check_grading()
                )  # check the complete sweep before anything is paid for
            for planned, benchmark in zip(self.planned, opened, strict=True):
                await self._run(planned, benchmark)

    async def _run(self, planned: PlannedRun, benchmark: Benchmark) -> None:
        plan = planned.plan
        with Store(plan.folder, self._say) as store:
            configuration = plan.folder / "config.yaml"
            try:
                write_atomic(configuration, to_yaml(plan.settings))
                for line in (*planned.warnings, *filter(None, [plan.model.why])):
                    self._say(line)
                self._say(f"{benchmark.name} on {plan.model.name}; everything is in {plan.folder}")
                if store.damaged:
                    self._say(_damage(store.damaged))
                run = await self._execute(planned, benchmark, store)
                if plan.settings.output.save_results:
                    await self._save(planned, run)
            finally:
                if not store:  # nothing was begun
                    configuration.unlink(missing_ok=True)

    async def _execute(self, planned: PlannedRun, benchmark: Benchmark, store: Store) -> Run:
        with ExitStack() as shown:
            observer = shown.enter_context(progress(self.err, self.out))
            run = Run(
                planned.plan,
                benchmark,
                store,
                observer,
                lambda label: [observer.watch(), *self._observers_of(label)],
            )
            await run.load()
            self._runs.append((planned, run))
            run.import_records(self._records_elsewhere(planned.plan))
            await run.grade()
            if (failed := run.failed()) and not planned.plan.settings.output.retry_failed:
                self._say(
                    f"{failed} failures of an earlier run are kept as not passed:"
                    " output.retry_failed=true tries them again"
                )
            if run.unanswered():
                async with self.open_model(planned.plan) as model:
                    await run.answer(model)
        return run

    def _observers_of(self, label: str) -> list[Observer]:
        return observers_of_search(self.trace, self.log, label)

    def _records_elsewhere(self, plan: Plan) -> list[Record]:
        """Read the records that the other runs of this sweep have written so far."""
        folders = [one.plan.folder for one, _ in self._runs[:-1]]
        return [
            record for folder in folders if folder != plan.folder for record in read_records(folder)
        ]

    async def _save(self, planned: PlannedRun, run: Run) -> None:
        plan = planned.plan
        batches = _batches(planned, run)
        await self._write(Results.of(batches), plan.folder, plan, [run])
        for strategy, batch in zip(plan.strategies, batches, strict=True):
            self._write_predictions(plan, batch, run.answered(strategy))

    def _write_predictions(
        self, plan: Plan, batch: Batch, answered: Sequence[tuple[Problem, Record]]
    ) -> None:
        """Write predictions beside the results, and under the original's name if it writes them."""
        from trio_beam.benchmark import predictions  # noqa: PLC0415  # only when needed

        paths = []
        if plan.settings.output.predictions_dir is not None:
            folder = Path(plan.settings.output.predictions_dir).expanduser()
            name = predictions.original_name(batch.benchmark, batch.model, batch.label)
            paths.append(folder / name)
        if batch.benchmark == "humaneval":
            texts = [(problem.id, record.text) for problem, record in answered]
            paths.append(plan.folder / "predictions" / f"{file_name(batch.label)}.jsonl")
            for path in paths:
                predictions.write_predictions(path, texts)
        else:
            for path in paths:
                predictions.write_answers(path, answered)

    async def _write(self, results: Results, folder: Path, plan: Plan, runs: Sequence[Run]) -> None:
        write = functools.partial(
            write_report,
            results,
            folder,
            origin=Origin.of(self.command),
            problems=list({one.id: one for run in runs for one in run.problems}.values()),
            plots=plan.settings.output.plots,
        )
        await trio.to_thread.run_sync(write)
        self._say(f"report: {folder / 'report.html'}")

    def _results(self) -> Results:
        return Results.of([batch for one in self._runs for batch in _batches(*one)])

    def _folder_of_sweep(self) -> Path:
        plans = [one.plan for one in self.planned]
        digest = digest_of({"folders": [plan.folder.name for plan in plans]})
        return Path(plans[0].settings.output.results_dir).expanduser() / f"sweep-{digest[:8]}"

    def _say(self, line: str) -> None:
        self.err.print(printable(line), markup=False, highlight=False, soft_wrap=True)


def _damage(lines: int) -> str:
    if lines == 1:
        return "1 line of records.jsonl is not whole: what it held is done again"
    return f"{lines} lines of records.jsonl are not whole: what they held is done again"


def _batches(planned: PlannedRun, run: Run) -> list[Batch]:
    plan = planned.plan
    return [
        Batch(
            benchmark=plan.settings.benchmark.name,
            model=plan.model.name,
            strategy=strategy.kind,
            label=strategy.label,
            width=strategy.width,
            configuration=plan.configuration(strategy),
            wanted=run.wanted(strategy),
            samples=strategy.samples,
            records=run.records(strategy),
            settings=" ".join(
                str(one)
                for one in planned.swept
                if canonical(one.key).partition(".")[0] in (*_SHARED, strategy.kind)
            ),
        )
        for strategy in plan.strategies
    ]
