"""Search for every prompt that has no answer yet, several at a time, and keep each outcome at once."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import attrs
import msgspec
import trio

from trio_beam.batch.folder import Answer
from trio_beam.batch.prompts import PromptRecord
from trio_beam.core.events import BeamExpanded, Event, Observer, SearchStopped
from trio_beam.core.export import result_to_dict
from trio_beam.core.language_model import LanguageModel
from trio_beam.core.request_events import RatePaused
from trio_beam.core.result import SearchFailed, SearchResult
from trio_beam.core.seeds import base_seed
from trio_beam.core.strategy import Strategy
from trio_beam.endpoint.retry import is_hopeless
from trio_beam.engine.search import search
from trio_beam.errors import ConfigError, EndpointError
from trio_beam.records import facts_of
from trio_beam.records.run_stopped import RunStopped
from trio_beam.strategies import make_strategy

#: Seconds between two waits for the disk.
_SYNC_EVERY = 1.0
_STRATEGY = "strategy"
#: Parameters of the run that hold for a prompt with another strategy too: what it may cost, what it is asked
#: with and how its answer ends, not how it is searched.
_OF_ALL = (
    *("seed", "max_tokens", "stop", "extra_body", "reasoning", "reasoning_budget"),
    *("max_total_tokens", "max_completion_tokens", "max_requests", "max_cost"),
    *("beam_timeout", "on_beam_failure"),
)
#: Strategies that are kept, since to make one costs more than a short search: of all prompts without
#: parameters of their own, and of the latest with some.
_MADE = 100


class Keeper(Protocol):
    """Keeps outcomes: a `Folder`."""

    @property
    def path(self) -> Path:
        """Folder of the run."""

    def use_model(self, name: str) -> None:
        """Keep the name of the model, which the server has told."""

    def keep(self, answer: Answer) -> None:
        """Keep an outcome."""

    def keep_cost(self, id: str, cost: float | None) -> None:  # noqa: A002  # a record's word
        """Keep what a search without an outcome has cost, in US dollars; None if that is not known."""

    def sync(self) -> None:
        """Bring what was kept to the disk. Called in a thread."""


class BatchObserver(Protocol):
    """Observes a run. Called inline; must not block."""

    def generated(self, tokens: int) -> None:
        """Called when some search has generated tokens."""

    def paused(self, seconds: float) -> None:
        """Called when some search waits for the endpoint's rate."""

    def finished(self, answer: Answer) -> None:
        """Called when an outcome was written."""


@attrs.frozen(kw_only=True)
class Plan:
    """How prompts are searched.

    Attributes:
        strategy: name of the strategy.
        values: its parameters, by name.
        max_searches: maximum number of concurrent searches.
        max_failures: number of failed prompts after which the run stops; None: never.
        all_beams: whether answers have all beams.
    """

    strategy: str
    values: Mapping[str, Any]
    max_searches: int = 16
    max_failures: int | None = None
    all_beams: bool = False
    _made: dict[bytes, Strategy] = attrs.field(factory=dict, init=False, repr=False, eq=False)

    def strategy_for(self, record: PromptRecord) -> Strategy:
        """Return the strategy for a prompt, with its own parameters and a seed of its own.

        Raises:
            ConfigError: a parameter of the prompt's is unknown or out of bounds.
        """
        own = msgspec.json.encode(record.search, order="sorted")
        made = self._made.get(own)
        if made is None:
            made = self._make(record.search)
            if len(self._made) >= _MADE:
                self._made.clear()
            self._made[own] = made
        if made.seed is None:
            return made
        return attrs.evolve(made, seed=base_seed(made.seed, f" id {record.id}"))

    def _make(self, search: Mapping[str, Any]) -> Strategy:
        own = dict(search)
        name = own.pop(_STRATEGY, self.strategy)
        given = dict(self.values)
        if name != self.strategy:
            given = {key: value for key, value in given.items() if key in _OF_ALL}
        return make_strategy(name, {**given, **own})


def stopped_by(error: EndpointError) -> RunStopped:
    """Return what stops a run because of an error that every other prompt would meet."""
    return RunStopped(
        f"no prompt would fare better, so the run stops here: {error}. What is done is kept; once that is"
        " mended, the same command goes on"
    )


async def run_batch(
    model: LanguageModel,
    pending: Iterator[PromptRecord],
    plan: Plan,
    folder: Keeper,
    observer: BatchObserver,
    observers_of: Callable[[str], Sequence[Observer]] = lambda _: (),
) -> None:
    """Search for all pending prompts.

    Args:
        model: an open model.
        pending: the prompts.
        plan: how.
        folder: takes the outcomes.
        observer: of the run.
        observers_of: returns the observers of a search, by the id of its prompt.

    Raises:
        RunStopped: the server is unreachable or refuses all requests, too many prompts failed, or the run may
            cost no more; in an `ExceptionGroup`.
        RecordsUnusable: the folder takes no more; in an `ExceptionGroup`.
    """
    searcher = Searcher(
        *(model, plan, observer.generated, observers_of),
        paused=observer.paused,
        cut_short=folder.keep_cost,
    )
    outcomes = Outcomes(plan, folder, observer)

    async def work() -> None:
        for record in pending:
            answer = await searcher.answer(record)
            if searcher.is_exhausted and answer.stop_reason == "budget":
                folder.keep_cost(answer.id, answer.cost)
                return  # cut short for the run's sake, not its own
            outcomes.keep(answer)
            if searcher.is_exhausted:
                return
            await trio.lowlevel.checkpoint()

    async with outcomes.synced_regularly(), trio.open_nursery() as workers:
        for _ in range(plan.max_searches):
            workers.start_soon(work)
    if searcher.is_exhausted:
        raise RunStopped(
            "the rest of the run could cost more than --max-run-cost. What is done is kept; with a higher"
            " limit, the same command goes on"
        )


@attrs.define(eq=False)
class Outcomes:
    """Keeps the outcomes of a run, and stops it when too many are failures."""

    plan: Plan
    folder: Keeper
    observer: BatchObserver
    failures: int = 0

    def keep(self, answer: Answer) -> None:
        """Write an outcome.

        Raises:
            RunStopped: too many prompts have failed.
            RecordsUnusable: the folder takes no more.
        """
        self.folder.keep(answer)  # paid for, so before anything else is done with it
        self.observer.finished(answer)
        if not answer.error:
            return
        self.failures += 1
        most = self.plan.max_failures
        if most is not None and self.failures > most:
            raise RunStopped(
                f"{self.failures} prompts failed, more than --max-failures {most}, so the run stops here;"
                f" the last error: {answer.error}. What is done is kept: once that is mended, the same"
                " command with --retry-failed tries them again"
            )

    @asynccontextmanager
    async def synced_regularly(self) -> AsyncIterator[None]:
        """Bring to the disk what was written, now and then while the block runs."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._sync_regularly)
            yield
            nursery.cancel_scope.cancel(reason="all prompts are done")

    async def _sync_regularly(self) -> None:
        while True:
            await trio.sleep(_SYNC_EVERY)
            await trio.to_thread.run_sync(self.folder.sync)


@attrs.define(eq=False)
class Searcher:
    """Searches for prompts as a plan says.

    Attributes:
        model: the model.
        plan: how.
        generated: called with the number of tokens that some search has generated.
        observers_of: returns the observers of a search, by the id of its prompt.
        paused: called with the seconds for which some search waits for the endpoint's rate.
        cut_short: called with the id of a prompt whose search was cancelled, and its cost in US dollars.
    """

    model: LanguageModel
    plan: Plan
    generated: Callable[[int], None]
    observers_of: Callable[[str], Sequence[Observer]] = lambda _: ()
    paused: Callable[[float], None] = lambda _: None
    cut_short: Callable[[str, float | None], None] = lambda _id, _cost: None

    @property
    def is_exhausted(self) -> bool:
        """Whether the model refuses requests for what they cost."""
        return bool(getattr(self.model, "is_exhausted", False))

    async def answer(self, record: PromptRecord) -> Answer:
        """Search for one prompt.

        Raises:
            RunStopped: every other prompt would fare the same.
        """
        start = trio.current_time()
        seed = None
        try:
            strategy = self.plan.strategy_for(record)
            seed = strategy.seed
            observers = [self._watch(record.id), *self.observers_of(record.id)]
            result = await search(self.model, record.prompt, strategy, observers=observers)
        except ConfigError as error:
            if error.field == "max_cost":  # no price is known of a model, for any prompt
                raise RunStopped(str(error)) from error
            return Answer(id=record.id, text="", digest=record.digest, error=str(error))
        except SearchFailed as failed:
            hopeless = next((f.error for f in failed.failures if is_hopeless(f.error)), None)
            if hopeless is not None:
                raise stopped_by(hopeless) from failed
            return self._outcome(record, failed.partial, seed, start, str(failed))
        error_text = "" if result.beams else f"no answer: the search ended by {result.stop_reason}"
        if result.beams and result.beams[0].unanswered:
            error_text = "the model was still thinking: allow it more max_tokens"
        return self._outcome(record, result, seed, start, error_text)

    def _watch(self, id: str) -> Observer:  # noqa: A002  # a record's word
        """Return an observer that hands on what becomes of a search on its way."""

        def watch(event: Event) -> None:
            match event:
                case BeamExpanded():
                    self.generated(event.tokens)
                case RatePaused():
                    self.paused(event.seconds)
                case SearchStopped(error=None):  # cancelled; a failure has its own record
                    self.cut_short(id, event.result.usage.cost)

        return watch

    def _outcome(
        self,
        record: PromptRecord,
        result: SearchResult,
        seed: int | None,
        start: float,
        error: str,
    ) -> Answer:
        best = result.beams[0] if result.beams else None
        return Answer(
            id=record.id,
            text=result.text,
            digest=record.digest,
            reasoning=best.reasoning if best else "",
            tool_calls=[call.as_dict() for call in best.tool_calls] if best else [],
            step_scores=list(best.step_scores) if best else [],
            score=result.score if math.isfinite(result.score) else None,
            finish_reason=best.finish_reason if best else "",
            seed=seed,
            seconds=round(trio.current_time() - start, 3),
            beams=_without_tokens(result) if self.plan.all_beams else [],
            error=error,
            **facts_of(result),
        )


def _without_tokens(result: SearchResult) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for beam in result_to_dict(result)["beams"]:
        beam.pop("tokens")
        found.append(beam)
    return found
