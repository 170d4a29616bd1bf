"""Search for every prompt that has no answer yet, several at a time, and keep each outcome at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import attrs
import trio

from trio_beam.batch.folder import Answer
from trio_beam.batch.prompts import PromptRecord
from trio_beam.core.events import BeamExpanded, Event, Observer
from trio_beam.core.export import result_to_dict
from trio_beam.core.language_model import LanguageModel
from trio_beam.core.result import SearchFailed, SearchResult
from trio_beam.core.seeds import base_seed
from trio_beam.core.strategy import Strategy
from trio_beam.endpoint.retry import is_hopeless
from trio_beam.engine.search import search
from trio_beam.errors import ConfigError, TrioBeamError
from trio_beam.strategies import make_strategy

#: Seconds between two waits for the disk.
_SYNC_EVERY = 1.0
_STRATEGY = "strategy"


class RunStopped(TrioBeamError):
    """The run stopped before its end, because other prompts would fail as well."""


class Keeper(Protocol):
    """Keeps outcomes: a `Folder`."""

    def keep(self, answer: Answer) -> None:
        """Keep an outcome."""

    def sync(self) -> None:
        """Bring what was kept to the disk. Called in a thread."""


class BatchObserver(Protocol):
    """Observes a run. Called inline; must not block."""

    def generated(self, tokens: int) -> None:
        """Called when some search has generated tokens."""

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

    def strategy_for(self, record: PromptRecord) -> Strategy:
        """Return the strategy for a prompt, with its own parameters and a seed of its own.

        Raises:
            ConfigError: a parameter of the prompt's is unknown or out of bounds.
        """
        own = dict(record.search)
        name = own.pop(_STRATEGY, self.strategy)
        values = {**(self.values if name == self.strategy else {}), **own}
        made = make_strategy(name, values)
        if made.seed is None:
            return made
        return attrs.evolve(made, seed=base_seed(made.seed, f" id {record.id}"))


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
        model: the model to search.
        pending: the prompts.
        plan: how they are searched.
        folder: takes the outcomes.
        observer: of the run.
        observers_of: returns the observers of a search by the id of its prompt.

    Raises:
        RunStopped: the server is unreachable or refuses all requests, too many prompts failed, or the run may
            cost no more; in an `ExceptionGroup`.
        RecordsUnusable: the folder takes no more; in an `ExceptionGroup`.
    """
    batch = _Batch(model, plan, folder, observer, observers_of)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batch.sync_regularly)
        async with trio.open_nursery() as workers:
            for _ in range(plan.max_searches):
                workers.start_soon(batch.work, pending)
        nursery.cancel_scope.cancel(reason="all prompts are done")
    if batch.is_exhausted:
        raise RunStopped(
            "the rest of the run could cost more than --max-run-cost. What is done is kept; with a higher"
            " limit, the same command goes on"
        )


@attrs.define(eq=False)
class _Batch:
    model: LanguageModel
    plan: Plan
    folder: Keeper
    observer: BatchObserver
    observers_of: Callable[[str], Sequence[Observer]]
    failures: int = 0

    @property
    def is_exhausted(self) -> bool:
        """Whether the endpoint refuses requests for what they cost."""
        return bool(getattr(self.model, "is_exhausted", False))

    async def work(self, pending: Iterator[PromptRecord]) -> None:
        """Search for prompts until none is left."""
        for record in pending:
            answer = await self._answer(record)
            if self.is_exhausted and answer.stop_reason == "budget":
                return  # cut short for the run's sake, not its own
            self.folder.keep(answer)  # paid for, so before anything else is done with it
            self.observer.finished(answer)
            if answer.error:
                self._count_failure(answer.error)
            if self.is_exhausted:
                return
            await trio.lowlevel.checkpoint()

    async def sync_regularly(self) -> None:
        """Bring to the disk what was written, until cancelled."""
        while True:
            await trio.sleep(_SYNC_EVERY)
            await trio.to_thread.run_sync(self.folder.sync)

    async def _answer(self, record: PromptRecord) -> Answer:
        """Search for one prompt.

        Raises:
            RunStopped: every other prompt would fare the same.
        """
        start = trio.current_time()
        seed = None
        try:
            strategy = self.plan.strategy_for(record)
            seed = strategy.seed
            observers = [_watch(self.observer.generated), *self.observers_of(record.id)]
            result = await search(self.model, record.prompt, strategy, observers=observers)
        except ConfigError as error:
            if error.field == "max_cost":  # no price is known of a model, for any prompt
                raise RunStopped(str(error)) from error
            return Answer(id=record.id, text="", digest=record.digest, error=str(error))
        except SearchFailed as failed:
            hopeless = next((f.error for f in failed.failures if is_hopeless(f.error)), None)
            if hopeless is not None:
                raise RunStopped(
                    f"no prompt would fare better, so the run stops here: {hopeless}. What is done is kept;"
                    " once that is mended, the same command goes on"
                ) from failed
            return self._outcome(record, failed.partial, seed, start, str(failed))
        error_text = "" if result.beams else f"no answer: the search ended by {result.stop_reason}"
        if result.beams and result.beams[0].unanswered:
            error_text = "the model was still thinking: allow it more max_tokens"
        return self._outcome(record, result, seed, start, error_text)

    def _outcome(
        self,
        record: PromptRecord,
        result: SearchResult,
        seed: int | None,
        start: float,
        error: str,
    ) -> Answer:
        best = result.beams[0] if result.beams else None
        usage = result.usage
        return Answer(
            id=record.id,
            text=result.text,
            digest=record.digest,
            reasoning=best.reasoning if best else "",
            tool_calls=[call.as_dict() for call in best.tool_calls] if best else [],
            step_scores=list(best.step_scores) if best else [],
            score=result.score if math.isfinite(result.score) else None,
            exact=result.exact,
            stop_reason=result.stop_reason,
            finish_reason=best.finish_reason if best else "",
            rounds=result.rounds,
            seed=seed,
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=usage.cached_tokens,
            completion_tokens=usage.completion_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            requests=usage.requests,
            cost=usage.cost,
            uncertain_cost=usage.uncertain_cost,
            unpriced=0 if usage.cost is None else usage.unpriced,
            seconds=round(trio.current_time() - start, 3),
            votes=[(str(one), share) for one, share in result.votes],
            beams=_without_tokens(result) if self.plan.all_beams else [],
            error=error,
        )

    def _count_failure(self, error: str) -> None:
        self.failures += 1
        most = self.plan.max_failures
        if most is not None and self.failures > most:
            raise RunStopped(
                f"{self.failures} prompts failed, more than --max-failures {most}, so the run stops here;"
                f" the last error: {error}. What is done is kept: once that is mended, the same command"
                " with --retry-failed tries them again"
            )


def _without_tokens(result: SearchResult) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for beam in result_to_dict(result)["beams"]:
        beam.pop("tokens")
        found.append(beam)
    return found


def _watch(generated: Callable[[int], None]) -> Callable[[Event], None]:
    """Return an observer that hands on how many tokens each expansion has."""

    def watch(event: Event) -> None:
        if isinstance(event, BeamExpanded):
            generated(event.tokens)

    return watch
