"""What ``trio-beam batch`` does: read the prompts, see what is done, search for the rest."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import trio
from rich.console import Console

from trio_beam import __version__
from trio_beam.batch.dry_run import DryRun, done_before
from trio_beam.batch.earlier import EarlierRuns
from trio_beam.batch.engines import ENGINES
from trio_beam.batch.folder import ANSWERS, FAILURES, WORK, Folder
from trio_beam.batch.job import Engine, Job
from trio_beam.batch.parquet import write_parquet
from trio_beam.batch.progress import BatchProgress, progress
from trio_beam.batch.prompts import PromptRecord, read_prompts
from trio_beam.batch.run import Keeper, Plan
from trio_beam.batch.served_model import with_served_model
from trio_beam.batch.work import WorkList
from trio_beam.command.cache import cache_of, explain_unused
from trio_beam.command.embedded import require_model
from trio_beam.command.observing import (
    close_trace,
    observers_of_search,
    open_log,
    open_trace,
)
from trio_beam.command.output import say, write
from trio_beam.command.price_options import prices_from
from trio_beam.command.server_options import headers_and_keys, rate_values
from trio_beam.command.strategy_options import strategy_values
from trio_beam.core.events import Observer
from trio_beam.core.printable import counted
from trio_beam.endpoint.endpoint import Endpoint
from trio_beam.local.server import serve_local
from trio_beam.records import RecordsUnusable
from trio_beam.records.identity import identity_of

#: A dry run searches here, whatever the engine of the run.
_HERE = ENGINES["local"]


class BatchSession:
    """The work of one command."""

    def __init__(self, ctx: click.Context, prompts: Path, out: Path, given: dict[str, Any]) -> None:
        self._prompts = prompts
        self._out = out
        self._given = given
        self._progress: BatchProgress | None = None
        self._left = 0
        self._earlier = EarlierRuns()
        values = strategy_values(ctx, given)
        self._plan = Plan(
            strategy=given["strategy"],
            values=values,
            max_searches=given["max_searches"],
            max_failures=given["max_failures"],
            all_beams=given["all_beams"],
        )
        strategy = self._plan.strategy_for(PromptRecord(id="", prompt=""))
        self._engine = ENGINES[given["engine"]]
        self._engine.check(given, self._plan)
        base_urls = given["base_urls"] or ()
        if given["max_run_cost"] and (self._engine is not _HERE or len(base_urls) > 1):
            raise click.UsageError("--max-run-cost goes with --engine local and one server")
        headers, keys = headers_and_keys(given, base_urls)
        self._options = {
            "headers": headers,
            "model": given["model"],
            "api": given["api"],
            "dialect": given["dialect"],
            "max_concurrent": given["max_concurrent"],
            "attempt_timeout": given["attempt_timeout"],
            "prices": prices_from(given),
            **rate_values(given),
        }
        self._servers = [self._server(url, key) for url, key in zip(base_urls, keys, strict=True)]
        # Report invalid arguments before anything starts.
        for server in self._servers or [self._server("http://127.0.0.1/v1")]:
            Endpoint(**server)
        self._trace = open_trace(given["trace"], given["trace_without"], __version__)
        self._log = open_log(given["log_level"])
        self._embedded = "" if self._servers else require_model(given["model_file"])
        self._cache = cache_of(
            given["cache"], embedded=bool(self._embedded), model_file=given["model_file"]
        )
        if self._cache is not None and (unused := explain_unused(strategy)):
            say(unused)
        self._identity = {
            "strategy": {
                "name": given["strategy"],
                **identity_of(strategy),
                "seed": values.get("seed"),
            },
            "model": given["model"] or self._embedded or None,
            "api": given["api"],
        }

    async def __call__(self, nursery: trio.Nursery) -> int:
        """Search, and return the exit code."""
        if self._given["dry_run"]:
            code = await self._dry_run(nursery)
        else:
            code = await self._in_folder(nursery)
        return max(code, close_trace(self._trace))

    async def _in_folder(self, nursery: trio.Nursery) -> int:
        made = not self._out.exists()
        try:
            self._out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecordsUnusable(f"{self._out} cannot be made: {error.strerror}") from None
        try:
            with WorkList(self._out / WORK) as todo:
                await self._read(todo)
                with self._folder(todo) as folder:
                    if not self._given["allow_changes"]:
                        self._earlier.check(self._prompts, self._out)
                    return await self._search(nursery, todo, folder)
        finally:
            if made:
                with suppress(OSError):  # it is not empty
                    self._out.rmdir()

    def interrupted(self) -> None:
        """Say what is there after everything was cancelled."""
        if self._progress is not None and not self._given["dry_run"]:
            say(f"interrupted: {self._done()}; the same command goes on")

    def _folder(self, todo: WorkList) -> Folder:
        return Folder(
            self._out,
            self._identity,
            lambda answer: self._earlier.note(answer, todo),
            self._earlier.note_expense,
            allow_changes=self._given["allow_changes"],
            retry_failed=self._given["retry_failed"],
        )

    async def _read(self, todo: WorkList) -> None:
        """Read the prompts, with a line now and then for many."""
        shown = trio.current_time()
        for count in todo.fill(read_prompts(self._prompts), self._given["shuffle_seed"]):
            await trio.lowlevel.checkpoint()
            if trio.current_time() - shown > 2 and not self._given["quiet"]:
                shown = trio.current_time()
                say(f"{count:,} prompts read")

    async def _dry_run(self, nursery: trio.Nursery) -> int:
        """Search for the first prompts, and say what all of them would take."""
        kept = DryRun(self._out)
        with tempfile.TemporaryDirectory() as folder, WorkList(Path(folder) / WORK) as todo:
            await self._read(todo)
            for answer in done_before(self._out, failures=not self._given["retry_failed"]):
                todo.note_done(answer.id, answer.digest)
            total = self._limited(todo.left())
            start = trio.current_time()
            await self._run(nursery, todo, kept, min(self._given["dry_run"], total), _HERE)
            if not total:
                write("dry run: no prompt is left")
                return 0
            seconds = trio.current_time() - start
            for line in kept.report(total, seconds, self._plan.max_searches):
                write(line)
        return 1 if all(answer.error for answer in kept.answers) else 0

    def _limited(self, left: int) -> int:
        limit = self._given["limit"]
        return left if limit is None else min(limit, left)

    async def _run(
        self, nursery: trio.Nursery, todo: WorkList, folder: Keeper, count: int, engine: Engine
    ) -> None:
        """Search for `count` prompts that are left."""
        pending = (record for record, _ in zip(todo.pending(), range(count), strict=False))
        shown = progress(Console(stderr=True), count, quiet=self._given["quiet"])
        with shown as self._progress:
            if count:
                limit = self._earlier.money_left(self._given["max_run_cost"])
                servers = self._servers
                if not servers:
                    self._progress.say(f"starting the embedded model, {self._embedded}")
                    servers = [self._server(await nursery.start(self._serve))]
                elif self._given["model"] is None:
                    servers = await with_served_model(servers, folder)
                job = Job(
                    servers=[{**server, "cache": self._cache, **limit} for server in servers],
                    pending=pending,
                    plan=self._plan,
                    folder=folder,
                    progress=self._progress,
                    given=self._given,
                    observers_of=self._observers_of,
                )
                nursery.start_soon(self._progress.report)
                await engine.run(job)

    def _observers_of(self, name: str) -> list[Observer]:
        assert self._progress is not None
        return [self._progress.watch(), *observers_of_search(self._trace, self._log, name)]

    async def _search(self, nursery: trio.Nursery, todo: WorkList, folder: Folder) -> int:
        self._left = self._limited(todo.left())
        if self._earlier.done and not self._given["quiet"]:
            say(f"{counted(self._earlier.done, 'prompt')} done already, {self._left:,} left")
        await self._run(nursery, todo, folder, self._left, self._engine)
        folder.sync()
        assert self._progress is not None
        if self._given["parquet"] and (self._out / ANSWERS).exists():
            await trio.to_thread.run_sync(write_parquet, self._out, self._progress.say)
        if not self._given["quiet"]:
            say(self._done())
        write(str(self._out / ANSWERS))
        return 1 if (self._out / FAILURES).stat().st_size else 0

    def _server(self, base_url: str, api_key: str | None = None) -> dict[str, Any]:
        return {"base_url": base_url, "api_key": api_key, **self._options}

    async def _serve(self, task_status: trio.TaskStatus[str]) -> None:
        await serve_local(self._given["model_file"], task_status=task_status)

    def _done(self) -> str:
        assert self._progress is not None
        answers = self._earlier.answered + self._progress.done - self._progress.failed
        failed = self._earlier.failed + self._progress.failed
        said = f"{counted(answers, 'answer')} in {self._out / ANSWERS}"
        if failed:
            said += (
                f", {counted(failed, 'prompt')} without one in {self._out / FAILURES}"
                " (--retry-failed tries them again)"
            )
        return f"{said}; {self._progress}"
