"""The base of every run: how it starts, ends and fails."""

from __future__ import annotations

import inspect
import math
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Generic, TypeVar

import attrs
import trio

from trio_beam.core.beam import Beam
from trio_beam.core.events import Event, Observer, PromptPrepared, SearchFinished, SearchStopped
from trio_beam.core.language_model import (
    LanguageModel,
    RequestContext,
    Sampler,
    prompt_length,
    prompt_opens_thinking,
    thinks_apart,
)
from trio_beam.core.prompt import PromptLike, check_prompt
from trio_beam.core.result import BeamFailure, SearchFailed, SearchResult, StopReason
from trio_beam.core.strategy import Strategy
from trio_beam.core.usage_meter import UsageMeter
from trio_beam.core.validation import check_number
from trio_beam.engine.groups import unwrapped
from trio_beam.engine.prices import note_prices
from trio_beam.errors import (
    BudgetExhausted,
    ConfigError,
    EndpointError,
    TrioBeamError,
    one_block_only,
)

#: Random bits drawn for a strategy without a seed.
ENTROPY_BITS = 62
S = TypeVar("S", bound=Strategy)


class Run(ABC, Generic[S]):
    """One search by some strategy; it can run only once.

    Args:
        model: the model to search.
        prompt: a string or chat messages.
        strategy: the configuration of the search.
        observers: called with every event.
        index: of the search, which its events carry.

    Raises:
        ConfigError: an argument is invalid.
    """

    def __init__(
        self,
        model: LanguageModel,
        prompt: PromptLike,
        strategy: S,
        observers: Sequence[Observer] = (),
        *,
        index: int = 0,
    ) -> None:
        self._model = model
        self._prompt = attrs.evolve(check_prompt(prompt), extra_body=strategy.extra_body)
        fields: Mapping[str, Any] = getattr(model, "extra_body", {})
        strategy.check_format({**fields, **strategy.extra_body})
        self._strategy = strategy
        self._observers = check_observers(observers)
        self._index = index
        self._ran = False
        self._stop_reason: StopReason | None = None
        #: Seed of random decisions.
        self._entropy = secrets.randbits(ENTROPY_BITS) if strategy.seed is None else strategy.seed

    async def run(self) -> SearchResult:
        """Search to the end.

        Raises:
            SearchFailed: from an `ExceptionGroup` of the causes.
            TrioBeamError: it has already run.
        """
        with self._stop_told():
            return await self._run_once()

    async def _run_once(self) -> SearchResult:
        if self._ran:
            raise TrioBeamError("a search runs once; make another")
        self._ran = True
        with unwrapped(TrioBeamError, KeyboardInterrupt):
            return await self._run()

    async def run_within(self, seconds: float) -> SearchResult:
        """Search to the end, or for `seconds`; then return the best result so far.

        Raises:
            SearchFailed, TrioBeamError: as `run`.
            ConfigError: `seconds` is not a number from 0 up.
        """
        check_seconds(seconds)
        with self._stop_told():
            with trio.move_on_after(seconds):
                return await self._run_once()
            return self._finished("deadline")

    @contextmanager
    def _stop_told(self) -> Iterator[None]:
        """Emit the last event of a search that returns nothing."""
        try:
            yield
        except SearchFailed as error:
            stopped = SearchStopped(
                result=error.partial, error=error, stop_reason=self._stop_reason
            )
            self._emit(stopped)
            raise
        except Exception:
            with suppress(Exception):  # nothing may hide the bug, perhaps of an observer
                self._emit(SearchStopped(result=self._interrupted()))
            raise
        except BaseException:
            self._emit(SearchStopped(result=self._interrupted()))
            raise

    def _interrupted(self) -> SearchResult:
        try:
            return self.best_so_far("interrupted")
        except SearchFailed as error:  # by a vote
            return error.partial

    async def _run(self) -> SearchResult:
        self._emit(self._started())
        try:
            sampler = await self._start()
        except BudgetExhausted:
            return self._finished("budget")
        return self._finished(await self._search(sampler))

    @abstractmethod
    def best_so_far(self, stop_reason: StopReason) -> SearchResult:
        """Return the best result so far, also while `run` is running or after it was cancelled.

        Raises:
            SearchFailed: the final beams cannot be voted on.
        """

    @abstractmethod
    def _started(self) -> Event:
        """Return the first event."""

    @property
    @abstractmethod
    def _meter(self) -> UsageMeter:
        """Meter for preparing the prompt."""

    @abstractmethod
    def _note_failure(self, failure: BeamFailure) -> SearchFailed:
        """Record a failure before the first request, and return the resulting error."""

    @abstractmethod
    def _open_thinking(self) -> None:
        """Note that the prompt has opened the model's thinking."""

    @abstractmethod
    async def _search(self, sampler: Sampler) -> StopReason:
        """Search to the end, and return why it ended.

        Raises:
            SearchFailed: the search failed.
        """

    async def _start(self) -> Sampler:
        """Let the model prepare the prompt.

        Raises:
            BudgetExhausted: the budget does not allow it.
            ConfigError: there is a budget of cost, but no price.
            SearchFailed: the preparation failed.
        """
        context = RequestContext(meter=self._meter, emit=self._emit)
        try:
            sampler = await self._model.start(self._prompt, context)
            await note_prices(sampler, self._strategy, context)
        except EndpointError as error:
            raise self._not_started(error) from ExceptionGroup(_CAUSES, [error])
        self._meter.prompt_length = prompt_length(sampler)
        if self._strategy.several_blocks and thinks_apart(sampler):
            raise self._not_started(one_block_only())
        opens = prompt_opens_thinking(sampler, self._prompt)
        if self._strategy.reasoning == "auto" and opens:
            self._open_thinking()
        prepared = PromptPrepared(
            prompt_length=self._meter.prompt_length,
            opens_thinking=opens,
            usage=self._meter.usage(),
            price=self._meter.price,
            reserved=self._meter.reserved,
        )
        self._emit(prepared)
        return sampler

    def _not_started(self, error: EndpointError) -> SearchFailed:
        failure = BeamFailure(beam=Beam(), error=error, attempts=error.attempts, round=0)
        return self._note_failure(failure)

    def _finished(self, stop_reason: StopReason) -> SearchResult:
        self._stop_reason = stop_reason
        result = self.best_so_far(stop_reason)
        self._emit(SearchFinished(result=result))
        return result

    def _emit(self, event: Event) -> None:
        if self._index and self._observers:
            event = attrs.evolve(event, index=self._index)
        for observer in self._observers:
            observer(event)


_CAUSES = "the causes of the failure"


def check_seconds(seconds: Any) -> None:
    """Raise `ConfigError` unless `seconds` is a number from 0 up, or infinity."""
    if seconds != math.inf:
        check_number("seconds", seconds, 0)


def check_observers(observers: Any) -> tuple[Observer, ...]:
    """Return the observers as a tuple.

    Raises:
        ConfigError: one of them is not a function, or is a coroutine function, which would never be awaited.
    """
    given = tuple(observers) if isinstance(observers, (list, tuple)) else observers
    if not isinstance(given, tuple):
        raise ConfigError("observers", "a sequence of functions", observers)
    for observer in given:
        call = getattr(observer, "__call__", None)  # noqa: B004  # an object's own, to look at it
        if not callable(observer):
            raise ConfigError("observers", "functions of one event", observer)
        if inspect.iscoroutinefunction(observer) or inspect.iscoroutinefunction(call):
            bound = "plain functions: an async one would never be awaited (send to a memory channel instead)"
            raise ConfigError("observers", bound, observer)
    return given


def search_failed(
    failures: Sequence[BeamFailure], partial: SearchResult, *, what: str, unit: str
) -> SearchFailed:
    """Build the error with all failures and their group as its cause.

    Args:
        failures: at least one.
        partial: the best result so far.
        what: the failed search, in words.
        unit: its numbered unit: round or block.
    """
    last = failures[-1]
    when = f"in {unit} {last.round}" if last.round else f"before its first {unit}"
    more = f" ({len(failures) - 1} more failures before)" if len(failures) > 1 else ""
    error = SearchFailed(
        f"{what} failed {when}: {last.error}{more}", failures=failures, partial=partial
    )
    error.__cause__ = ExceptionGroup(_CAUSES, [failure.error for failure in failures])
    return error
