"""The engine ``openai-batch``: a provider answers the requests of all prompts within a day, at a lower price.

The searches are run over the answers that are there, and what they still need goes to the provider in
batches, until every search has ended. One round of requests takes one batch, requests that failed or expired
another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import attrs
import click
import trio

from trio_beam.batch.answered import AnsweredSearches
from trio_beam.batch.folder import Answer
from trio_beam.batch.job import Job
from trio_beam.batch.prompts import PromptRecord
from trio_beam.batch.provider_service import ProviderService
from trio_beam.batch.provider_state import Part, ProviderState, Wanted
from trio_beam.batch.ray_engine import refuse_ray_options
from trio_beam.batch.run import Outcomes, Plan
from trio_beam.command.server_options import rate_values
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.model_scorer import ModelScorer
from trio_beam.core.reward_scorer import RewardScorer
from trio_beam.core.strategy import Strategy
from trio_beam.dialects.openai_batches import ENDED, MAX_REQUESTS, ProviderBatch, read_line
from trio_beam.endpoint.endpoint import Endpoint
from trio_beam.endpoint.retry import RetryPolicy, is_transient
from trio_beam.errors import ConfigError, EndpointError, RequestRejected
from trio_beam.records import RecordsUnusable
from trio_beam.records.run_stopped import RunStopped

#: Bytes of a file: a third of what the provider takes, since it is in memory several times while it is sent.
_FILE_BYTES = 64_000_000
#: Prompts whose outcomes are brought to the disk together; lines that are read together, which may be long.
_PROMPTS, _LINES = 500, 20
#: Seconds between two questions about a batch, at first and at most.
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0
#: Seconds for which a provider may be out of reach while batches are under way.
_OUTAGE = 3600.0
#: Seconds for sending or fetching a file.
_TIMEOUT = 3600.0


def check_provider_batch(given: Mapping[str, Any], plan: Plan) -> None:
    """Raise `click.UsageError` or `ConfigError` for what provider batches cannot do."""
    engine = "--engine openai-batch"
    refuse_ray_options(given)
    if len(given["base_urls"] or ()) != 1:
        raise click.UsageError(f"{engine} needs a provider: name its --base-url, once")
    if given["dialect"] not in ("auto", "openai"):
        raise click.UsageError(f"{engine} goes with --dialect openai, not {given['dialect']}")
    if given["cache"] is not None:
        raise click.UsageError(
            f"--cache has no use with {engine}, which keeps its answers in --out"
        )
    if any(value is not None for value in rate_values(given).values()):
        raise click.UsageError(f"--rpm, --tpm and --rate-file have no use with {engine}")
    check_one_round(plan.strategy_for(PromptRecord(id="", prompt="")))


def check_one_round(strategy: Strategy) -> None:
    """Raise `ConfigError` unless a strategy makes all its requests at the same time."""
    why = _why_several_rounds(strategy)
    if why:
        name = "strategy"
        error = ConfigError(name, "one of a single round", type(strategy).__name__)
        message = (
            f"--engine openai-batch takes strategies of a single round: {why}. What works: greedy, sample,"
            " best_of_n and self_consistency in one block"
        )
        error.args = (message,)
        raise error


def _why_several_rounds(strategy: Strategy) -> str:
    if strategy.several_blocks:
        return "this one continues its texts (tokens_per_step, a block, or steps), a batch for each block"
    if not isinstance(strategy, BeamSearchConfig):
        return "this one samples one text after another"
    if isinstance(strategy.scorer_part, ModelScorer | RewardScorer):
        return "its scorer asks a model about the texts"
    if strategy.answer_part.settles:
        return "settle waits for some samples before it asks for others"
    if strategy.confidence is not None:
        return "confidence gives texts up while they are written"
    return ""


async def run_in_provider_batches(job: Job) -> None:
    """Search for all pending prompts by batches of a provider.

    Raises:
        RunStopped: the provider refuses the batches; in an `ExceptionGroup`.
        EndpointError: it cannot be reached.
        TrioBeamError: the folder cannot be used.
    """
    (server,) = job.servers
    if isinstance(server.get("prices"), str):  # the lists' prices are those of single requests
        server = {**server, "prices": None}
    server = {**server, "dialect": "openai"}
    slow = {**server, "attempt_timeout": _TIMEOUT, "retry": RetryPolicy(attempts=1)}
    asking, moving = Endpoint(**server), Endpoint(**slow)
    with ProviderState(job.folder.path, asking.base_url) as state:
        async with asking, moving:
            server["model"] = await asking.find_model()
            service = ProviderService(
                asking=asking, moving=moving, run=state.run, say=job.progress.say
            )
            outcomes = Outcomes(job.plan, job.folder, job.progress)
            generated = job.progress.generated
            searches = AnsweredSearches(server, job.plan, state.answer, generated, job.observers_of)
            async with searches as answered:
                await _Engine(job, state, service, answered, outcomes).run()


@attrs.frozen(eq=False)
class _Engine:
    _job: Job
    _state: ProviderState
    _service: ProviderService
    _answered: AnsweredSearches
    _outcomes: Outcomes

    async def run(self) -> None:
        """Search and ask in turn, until no search needs an answer."""
        await self._answer_parts()  # of a run before
        await self._search(self._job.pending)
        while self._state.divide(MAX_REQUESTS, _FILE_BYTES):
            await self._answer_parts()
            await self._search(self._state.waiting())

    # -- searching

    async def _search(self, records: Iterator[PromptRecord]) -> None:
        """Run searches as far as their answers go."""
        while some := list(islice(records, _PROMPTS)):
            done: list[str] = []
            waiting: list[PromptRecord] = []
            wanted: list[Wanted] = []
            for record in some:
                found = await self._search_for(record)
                if isinstance(found, Answer):
                    self._outcomes.keep(found)
                    done.append(record.id)
                else:
                    waiting.append(record)
                    wanted += found
            # Answers leave the state once the disk has what was made of them.
            await trio.to_thread.run_sync(self._job.folder.sync)
            self._state.save(done, waiting, wanted)

    async def _search_for(self, record: PromptRecord) -> Answer | list[Wanted]:
        if record.search:
            try:
                check_one_round(self._job.plan.strategy_for(record))
            except ConfigError as error:
                return Answer(id=record.id, text="", digest=record.digest, error=str(error))
        return await self._answered.run(record)

    # -- asking

    async def _answer_parts(self) -> None:
        """Get the answers to all parts, which are under way at the same time."""
        async with trio.open_nursery() as nursery:
            for part in self._state.open_parts():
                nursery.start_soon(self._answer, part)

    async def _answer(self, part: Part) -> None:
        if part.step in ("new", "uploading"):
            part = await self._upload(part)
        if part.step in ("uploaded", "creating"):
            part = await self._create(part)
        batch = await self._wait(part)
        for file_id in (batch.output_file_id, batch.error_file_id):
            if file_id:
                await self._read(part, file_id)
        if batch.status in ("failed", "cancelled"):
            self._stop(part, batch)
        missing = self._state.finish(part, f"the batch {batch.id} ended as {batch.status}")
        if missing:
            self._service.say(
                f"batch {batch.id} {batch.status}: {missing:,} requests without an answer"
            )

    async def _upload(self, part: Part) -> Part:
        perhaps = part.step == "uploading"
        part = self._state.note(attrs.evolve(part, step="uploading"))
        try:
            file_id = await self._service.upload(
                part, lambda: self._state.file_of(part), perhaps=perhaps
            )
        except RequestRejected as error:
            if error.status in (404, 405):
                raise RunStopped(f"this server takes no batches: {error}") from error
            raise
        return self._state.note(attrs.evolve(part, step="uploaded", file_id=file_id))

    async def _create(self, part: Part) -> Part:
        perhaps = part.step == "creating"
        part = self._state.note(attrs.evolve(part, step="creating"))
        batch_id = await self._service.create(part, perhaps=perhaps)
        self._service.say(f"batch {batch_id} has begun")
        return self._state.note(attrs.evolve(part, step="created", batch_id=batch_id))

    async def _wait(self, part: Part) -> ProviderBatch:
        """Wait for the end of a batch, and say how far it is."""
        wait, said, lost_at = _FIRST_WAIT, "", trio.current_time()
        while True:
            try:
                batch = await self._service.batch(part.batch_id)
            except EndpointError as error:
                if not is_transient(error) or trio.current_time() - lost_at > _OUTAGE:
                    raise
                now = f"batch {part.batch_id}: {error}"
            else:
                if batch.status in ENDED:
                    return batch
                now, lost_at = _describe(batch), trio.current_time()
            if now != said:
                self._service.say(now)
                said = now
            await trio.sleep(wait)
            wait = min(1.5 * wait, _LONGEST_WAIT)

    def _stop(self, part: Part, batch: ProviderBatch) -> None:
        """Stop at a batch that was refused, or that somebody did not want."""
        self._state.reopen(part)
        if batch.status == "cancelled":
            what, then = (
                f"the batch {batch.id} was cancelled",
                "the same command sends the rest again",
            )
        else:
            what = f"the provider refuses the batch {batch.id}: {batch.why}"
            then = "once that is mended, the same command sends it again"
        raise RunStopped(f"{what}. What is done is kept; {then}")

    async def _read(self, part: Part, file_id: str) -> None:
        """Read a file of answers, some lines at a time."""
        path = self._job.folder.path / f"openai-batch-{part.number}.jsonl"
        try:
            await self._service.download(file_id, path)
            with path.open("rb") as file:
                while lines := list(islice(file, _LINES)):
                    self._state.take(part, filter(None, map(read_line, lines)))
                    await trio.lowlevel.checkpoint()
        except OSError as error:
            raise RecordsUnusable(
                f"{path} cannot be written: {error.strerror}. Once that is mended, the same command goes on"
            ) from None
        finally:
            path.unlink(missing_ok=True)


def _describe(batch: ProviderBatch) -> str:
    counts = batch.request_counts
    done = f", {counts.completed + counts.failed:,} of {counts.total:,} answered" if counts else ""
    return f"batch {batch.id}: {batch.status}{done}"
