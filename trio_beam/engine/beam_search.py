"""The loop between the state machine and the rounds, and the public searches."""

from __future__ import annotations

import math
import secrets
from typing import TYPE_CHECKING

import trio

from trio_beam.core.beam_search.actions import Asking, Failed, Over, Round, Scoring
from trio_beam.core.beam_search.machine import BeamSearchState
from trio_beam.core.beam_search.scoring import name_of
from trio_beam.core.config import BeamSearchConfig, check_real
from trio_beam.core.events import Event, Observer, SearchFinished, SearchStarted
from trio_beam.core.language_model import Sampler
from trio_beam.core.prompt import Prompt, PromptLike, check_prompt
from trio_beam.core.result import BeamFailure, SearchResult, StopReason
from trio_beam.engine.evaluation import JudgeSampler
from trio_beam.engine.round import run_round
from trio_beam.engine.start import ENTROPY_BITS, search_failed, start
from trio_beam.errors import (
    BudgetExhausted,
    ConfigError,
    ScorerError,
    SearchFailed,
    TrioBeamError,
    VoteError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_beam.core.beam_search.evaluation import Aside
    from trio_beam.core.language_model import LanguageModel


async def beam_search(
    endpoint: LanguageModel,
    prompt: PromptLike,
    config: BeamSearchConfig | None = None,
    *,
    observers: Sequence[Observer] = (),
) -> SearchResult:
    """Search for the continuation of `prompt` that the model finds most probable.

    When this returns, raises or is cancelled, no task and no request of it is left. To bound its
    time, put it under a cancel scope of your own, or use `beam_search_within`.

    Args:
        endpoint: an open `Endpoint`, or any other `LanguageModel`.
        prompt: a string, sent as it is; or chat messages, to which the server's own template is
            applied and whose next message (the assistant's) is searched for.
        config: the parameters; None for the defaults.
        observers: each is called with every event, inline; it must not block.

    Raises:
        SearchFailed: from an `ExceptionGroup` of the causes.
        ConfigError: the prompt is not usable.
    """
    return await Search(endpoint, prompt, config, observers).run()


async def beam_search_within(
    seconds: float,
    endpoint: LanguageModel,
    prompt: PromptLike,
    config: BeamSearchConfig | None = None,
    *,
    observers: Sequence[Observer] = (),
) -> SearchResult:
    """The anytime search: `beam_search`, which after `seconds` returns the best so far.

    Then ``stop_reason`` is ``"deadline"``, and what had come back of an unfinished round counts
    too; ``beams`` is empty if nothing had. A cancellation from outside is not the deadline: it
    passes through.

    Raises:
        SearchFailed, ConfigError: as `beam_search`.
    """
    return await Search(endpoint, prompt, config, observers).run_within(seconds)


class Search:
    """One search. For callers who want the best so far after they cancelled it themselves."""

    def __init__(
        self,
        model: LanguageModel,
        prompt: PromptLike,
        config: BeamSearchConfig | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.config = BeamSearchConfig() if config is None else config
        if not isinstance(self.config, BeamSearchConfig):
            raise ConfigError("config", "a BeamSearchConfig", config)
        self._prompt: Prompt = check_prompt(prompt)
        self._model = model
        self._state = BeamSearchState(self.config, secrets.randbits(ENTROPY_BITS))
        self._observers = tuple(observers)
        self._ran = False

    async def run(self) -> SearchResult:
        """Search to the end; once only.

        Raises:
            SearchFailed, TrioBeamError: it failed; it was run before.
        """
        if self._ran:
            raise TrioBeamError("a Search runs once; make another")
        self._ran = True
        self._emit(SearchStarted(config=self.config, rounds=self.config.rounds))
        try:
            sampler = await self._start()
        except BudgetExhausted:
            return self._finished("budget")
        step = await self._rounds(sampler)
        self._emit_all(step.events)
        if not isinstance(step, Over):
            raise self._failure(step.failures)
        return self._finished(step.stop_reason)

    async def _rounds(self, sampler: Sampler) -> Over | Failed:
        """One round after the other, each with its scores, until the machine says that it is over."""
        while True:
            try:
                step = self._state.step()
                if isinstance(step, Scoring):
                    await self._have_scored(step)
                    continue
            except ScorerError as error:
                self._state.fail_scoring()
                raise self._failed_by(error) from ExceptionGroup("the scorer failed", [error])
            if isinstance(step, Round):
                self._emit_all(step.events)
                await run_round(sampler, step, self._state, self._emit)
            elif isinstance(step, Asking):
                await self._ask(step.aside, sampler)
            else:
                return step

    async def _ask(self, aside: Aside, sampler: Sampler) -> None:
        self._emit(aside.started)
        if aside.judge is not None:
            model = aside.judge.endpoint or self._model
            sampler = JudgeSampler(model, aside.judge, self._prompt)
        await run_round(sampler, aside.round, aside, self._emit)

    async def _have_scored(self, scoring: Scoring) -> None:
        try:
            scores = await scoring.scorer(scoring.beams, self.config)
        except Exception as error:
            raise ScorerError(name_of(self.config.scorer), f"failed: {error!r}") from error
        self._state.take_scores(scoring.beams, scores)

    def _failed_by(self, error: ScorerError | VoteError) -> SearchFailed:
        partial = self._state.result("failed", voted=False)
        return SearchFailed(
            f"the search failed: {error}", failures=partial.failures, partial=partial
        )

    async def run_within(self, seconds: float) -> SearchResult:
        """Search to the end, or until `seconds` are over; once only.

        Raises:
            SearchFailed, TrioBeamError: as `run`.
            ConfigError: `seconds` is no number from 0 up.
        """
        if seconds != math.inf:
            check_real("seconds", seconds, 0)
        with trio.move_on_after(seconds):
            return await self.run()
        return self.best_so_far("deadline")

    def _finished(self, stop_reason: StopReason) -> SearchResult:
        result = self.best_so_far(stop_reason)
        self._emit(SearchFinished(result=result))
        return result

    def best_so_far(self, stop_reason: StopReason) -> SearchResult:
        """What stands now, also while `run` is under way or after it was cancelled.

        Raises:
            SearchFailed: it was to be voted upon, and the ``vote_key`` failed.
        """
        try:
            return self._state.result(stop_reason)
        except VoteError as error:
            raise self._failed_by(error) from ExceptionGroup("the vote failed", [error])

    async def _start(self) -> Sampler:
        started = await start(self._model, self._prompt, self._state.ledger, self._emit)
        if not isinstance(started, BeamFailure):
            return started
        self._state.fail(started)
        raise self._failure((started,))

    def _failure(self, failures: Sequence[BeamFailure]) -> SearchFailed:
        partial = self._state.result("failed", voted=False)
        return search_failed(failures, partial, what="the search", step="round")

    def _emit(self, event: Event) -> None:
        for observer in self._observers:
            observer(event)

    def _emit_all(self, events: Sequence[Event]) -> None:
        for event in events:
            self._emit(event)
