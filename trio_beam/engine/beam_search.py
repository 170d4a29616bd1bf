"""The loop that drives a beam search machine and runs its rounds."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

from trio_beam.core.beam_search.machine import BeamSearchMachine
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.events import Event, Observer, SearchStarted
from trio_beam.core.language_model import LanguageModel, Sampler, prompt_length
from trio_beam.core.prompt import PromptLike
from trio_beam.core.result import BeamFailure, SearchFailed, SearchResult, StopReason
from trio_beam.core.reward_scorer import RewardScorer
from trio_beam.core.scoring import scorer_failed
from trio_beam.core.steps import Failed, Round, ScoreCandidates
from trio_beam.core.usage_meter import UsageMeter
from trio_beam.engine.evaluation import run_scored_round
from trio_beam.engine.round import RoundRunner, run_round
from trio_beam.engine.run import Run, search_failed
from trio_beam.errors import ScorerError, VoteError


class BeamSearchRun(Run[BeamSearchConfig]):
    """One block-level beam search.

    Args:
        model: as for `Run`.
        prompt: as for `Run`.
        strategy: as for `Run`.
        observers: as for `Run`.
        index: as for `Run`.
        runner: runs its rounds.
    """

    def __init__(
        self,
        model: LanguageModel,
        prompt: PromptLike,
        strategy: BeamSearchConfig,
        observers: Sequence[Observer] = (),
        *,
        index: int = 0,
        runner: RoundRunner = run_round,
    ) -> None:
        super().__init__(model, prompt, strategy, observers, index=index)
        self._runner = runner
        self._machine = BeamSearchMachine(strategy, self._entropy)

    def best_so_far(self, stop_reason: StopReason) -> SearchResult:
        """Return the current beams, including the received part of an open round."""
        try:
            return self._machine.result(stop_reason)
        except VoteError as error:
            raise self._failed_by(error) from ExceptionGroup("the vote failed", [error])

    def _started(self) -> Event:
        return SearchStarted(
            config=self._strategy,
            rounds=self._strategy.rounds,
            prompt=self._prompt,
            entropy=self._entropy,
        )

    @property
    def _meter(self) -> UsageMeter:
        return self._machine.meter

    def _note_failure(self, failure: BeamFailure) -> SearchFailed:
        self._machine.fail(failure)
        return self._failure((failure,))

    def _open_thinking(self) -> None:
        self._machine.open_thinking()

    async def _search(self, sampler: Sampler) -> StopReason:
        """Take steps until the machine has finished."""
        scorer = self._strategy.scorer_part
        async with scorer.opened() if isinstance(scorer, RewardScorer) else nullcontext():
            return await self._step_to_the_end(sampler)

    async def _step_to_the_end(self, sampler: Sampler) -> StopReason:
        while True:
            step = self._machine.step()
            if isinstance(step, ScoreCandidates):
                await self._score(step)
                continue
            for event in step.events:
                self._emit(event)
            if isinstance(step, Round):
                await self._run_round(step, sampler)
                self._meter.prompt_length = prompt_length(sampler)
            elif isinstance(step, Failed):
                raise self._failure_error(step)
            else:
                return step.stop_reason

    async def _run_round(self, current: Round, sampler: Sampler) -> None:
        await run_scored_round(
            current,
            sampler,
            self._model,
            self._prompt,
            self._machine,
            self._meter,
            self._emit,
            thinking=self._strategy.reasoning,
            runner=self._runner,
        )

    async def _score(self, step: ScoreCandidates) -> None:
        try:
            scores = await step.scorer(step.beams, self._strategy)
        except Exception as error:
            self._machine.scorer_failed(scorer_failed(error, self._strategy))
        else:
            for event in self._machine.take_scores(step.beams, scores):
                self._emit(event)

    def _failure_error(self, step: Failed) -> SearchFailed:
        if step.cause is None:
            return self._failure(step.failures)
        error = self._failed_by(step.cause)
        error.__cause__ = ExceptionGroup("the scorer failed", [step.cause])
        return error

    def _failed_by(self, error: ScorerError | VoteError) -> SearchFailed:
        partial = self._machine.result("failed", voted=False)
        return SearchFailed(
            f"the search failed: {error}", failures=partial.failures, partial=partial
        )

    def _failure(self, failures: Sequence[BeamFailure]) -> SearchFailed:
        partial = self._machine.result("failed", voted=False)
        return search_failed(failures, partial, what="the search", unit="round")
