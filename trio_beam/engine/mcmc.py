"""Run Metropolis-Hastings chains: a nursery with a task and a cancel scope per chain."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import trio

from trio_beam.core.events import Event, McmcStarted, Observer
from trio_beam.core.language_model import LanguageModel, Sampler, prompt_length
from trio_beam.core.mcmc.chain import Chain
from trio_beam.core.mcmc.run import McmcRun
from trio_beam.core.mcmc_config import McmcConfig
from trio_beam.core.prompt import PromptLike
from trio_beam.core.result import BeamFailure, SearchFailed, SearchResult, StopReason
from trio_beam.core.reward_scorer import RewardScorer
from trio_beam.core.scoring import scorer_failed
from trio_beam.core.steps import Round, ScoreCandidates
from trio_beam.core.usage_meter import UsageMeter
from trio_beam.engine.evaluation import run_scored_round
from trio_beam.engine.run import Run, search_failed


class ChainsRun(Run[McmcConfig]):
    """One Metropolis-Hastings run."""

    def __init__(
        self,
        model: LanguageModel,
        prompt: PromptLike,
        strategy: McmcConfig,
        observers: Sequence[Observer] = (),
        *,
        index: int = 0,
    ) -> None:
        super().__init__(model, prompt, strategy, observers, index=index)
        self._state = McmcRun(strategy, self._entropy)

    def best_so_far(self, stop_reason: StopReason) -> SearchResult:
        """Return the chains' current texts."""
        return self._state.result(stop_reason)

    def _started(self) -> Event:
        return McmcStarted(config=self._strategy, prompt=self._prompt, entropy=self._entropy)

    @property
    def _meter(self) -> UsageMeter:
        return self._state.meter

    def _note_failure(self, failure: BeamFailure) -> SearchFailed:
        self._state.fail(failure)
        return self._failure()

    def _open_thinking(self) -> None:
        self._state.open_thinking()

    async def _search(self, sampler: Sampler) -> StopReason:
        self._state.open()
        scorer = self._strategy.scorer_part
        async with scorer.opened() if isinstance(scorer, RewardScorer) else nullcontext():
            return await self._run_chains(sampler)

    async def _run_chains(self, sampler: Sampler) -> StopReason:
        chains = self._state.chains
        scopes = [trio.CancelScope() for _ in chains]
        send, receive = trio.open_memory_channel[None](len(chains))
        with send, receive:
            async with trio.open_nursery() as nursery:
                for number, (chain, scope) in enumerate(zip(chains, scopes, strict=True)):
                    nursery.start_soon(
                        self._run_chain, sampler, chain, scope, send, name=f"chain {number}"
                    )
                for _ in chains:
                    await receive.receive()
                    if self._state.failed:
                        for scope in scopes:
                            scope.cancel(reason="another chain failed")
        if self._state.failed:
            raise self._failure()
        return self._state.stop_reason()

    async def _run_chain(
        self,
        sampler: Sampler,
        chain: Chain,
        scope: trio.CancelScope,
        ended: trio.MemorySendChannel[None],
    ) -> None:
        """Make the chain's requests in sequence; signal its end whatever happens."""
        try:
            with scope:
                while (wanted := chain.step()) is not None:
                    if isinstance(wanted, ScoreCandidates):
                        await self._score(wanted, chain)
                    else:
                        await self._run_round(wanted, sampler, chain)
                        chain.meter.prompt_length = prompt_length(sampler)
        finally:
            ended.send_nowait(None)

    async def _run_round(self, wanted: Round, sampler: Sampler, chain: Chain) -> None:
        for event in wanted.events:
            self._emit(event)
        await run_scored_round(
            wanted,
            sampler,
            self._model,
            self._prompt,
            chain,
            chain.meter,
            self._emit,
            thinking=self._strategy.reasoning,
        )

    async def _score(self, wanted: ScoreCandidates, chain: Chain) -> None:
        try:
            scores = await wanted.scorer(wanted.beams, self._strategy)
        except Exception as error:
            chain.scorer_failed(scorer_failed(error, self._strategy))
        else:
            for event in chain.take_scores(wanted.beams, scores):
                self._emit(event)

    def _failure(self) -> SearchFailed:
        partial = self.best_so_far("failed")
        if (cause := self._state.scorer_error) is not None:
            error = SearchFailed(
                f"the chains failed: {cause}", failures=partial.failures, partial=partial
            )
            error.__cause__ = ExceptionGroup("the scorer failed", [cause])
            return error
        return search_failed(self._state.failures, partial, what="the chains", unit="block")
