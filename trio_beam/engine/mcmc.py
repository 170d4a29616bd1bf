"""Metropolis-Hastings for p^alpha: a nursery, and in it a task and a cancel scope for each chain."""

from __future__ import annotations

import math
import secrets
from typing import TYPE_CHECKING

import trio

from trio_beam.core.config import check_real
from trio_beam.core.events import Event, McmcStarted, Observer, SearchFinished
from trio_beam.core.language_model import Sampler
from trio_beam.core.mcmc.config import McmcConfig
from trio_beam.core.mcmc.run import McmcState
from trio_beam.core.prompt import PromptLike, check_prompt
from trio_beam.core.result import BeamFailure, SearchResult, StopReason
from trio_beam.engine.round import run_round
from trio_beam.engine.start import ENTROPY_BITS, search_failed, start
from trio_beam.errors import BudgetExhausted, ConfigError, SearchFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_beam.core.language_model import LanguageModel
    from trio_beam.core.mcmc.chain import Chain


async def mcmc(
    endpoint: LanguageModel,
    prompt: PromptLike,
    config: McmcConfig | None = None,
    *,
    observers: Sequence[Observer] = (),
) -> SearchResult:
    """Sample continuations of `prompt` from p^alpha, by Metropolis-Hastings over blocks.

    Each chain adds ``tokens_per_step`` tokens sampled from the proposal q (the model at
    ``proposal_temperature``), then makes ``steps`` steps: a position of the text is drawn uniformly, all
    behind it is sampled anew, and what came of it is accepted with

        min(1, p(x')^alpha q(x | x') / (p(x)^alpha q(x' | x)))

    (`core.metropolis`), until texts have ``max_tokens``. This is algorithm 1 of Karan and Du 2025,
    "Reasoning with Sampling" (arXiv 2510.14901).

    The target, after block k of B tokens, is p^alpha, normalised over the texts that have ended with at
    most k B tokens (``max_tokens`` after the last) and the unfinished texts of exactly so many. A text that
    has ended gets no more blocks, but its steps: at a later position it may grow beyond. The
    steps leave the target as it is (detailed balance), and with more of them a chain comes nearer to it.
    Where the model's context is full, a text is as long as it may be.

    The result's ``beams`` are the chains' texts, each of the same ``weight``: first one drawn at random,
    which is the answer, then the others by chain. ``score`` is ``alpha * logprob``, in nats. ``rounds`` are
    the blocks that every chain has behind it. ``exact`` says that every text that was compared had true
    log-probabilities, the rejected ones too. ``stop_reason`` is ``"finished"`` if every text has ended,
    ``"max_tokens"`` if not, ``"budget"`` if a chain made fewer steps than it should.

    When this returns, raises or is cancelled, no task and no request of it is left. To bound its time, put
    it under a cancel scope of your own, or use `mcmc_within`.

    Args:
        endpoint: an open `Endpoint`, or any other `LanguageModel`.
        prompt: as for `beam_search`.
        config: the parameters; None for the defaults.
        observers: each is called with every event, inline; it must not block.

    Raises:
        SearchFailed: from an `ExceptionGroup` of the causes; ``partial`` has the texts as they stood.
        ConfigError: the prompt or the configuration is not usable.
    """
    return await _Run(endpoint, prompt, config, observers).run()


async def mcmc_within(
    seconds: float,
    endpoint: LanguageModel,
    prompt: PromptLike,
    config: McmcConfig | None = None,
    *,
    observers: Sequence[Observer] = (),
) -> SearchResult:
    """`mcmc`, which after `seconds` returns the texts as they stand.

    Then ``stop_reason`` is ``"deadline"``; ``beams`` is empty if nothing had come back. A cancellation from
    outside is not the deadline: it passes through.

    Raises:
        SearchFailed, ConfigError: as `mcmc`; `seconds` is no number from 0 up.
    """
    if seconds != math.inf:
        check_real("seconds", seconds, 0)
    run = _Run(endpoint, prompt, config, observers)
    with trio.move_on_after(seconds):
        return await run.run()
    return run.standing("deadline")


class _Run:
    """One call of `mcmc`."""

    def __init__(
        self,
        model: LanguageModel,
        prompt: PromptLike,
        config: McmcConfig | None,
        observers: Sequence[Observer],
    ) -> None:
        self._config = McmcConfig() if config is None else config
        if not isinstance(self._config, McmcConfig):
            raise ConfigError("config", "an McmcConfig", config)
        self._prompt = check_prompt(prompt)
        self._model = model
        self._state = McmcState(self._config, secrets.randbits(ENTROPY_BITS))
        self._observers = tuple(observers)

    async def run(self) -> SearchResult:
        """Take the prompt, and let the chains run to their ends."""
        self._emit(McmcStarted(config=self._config))
        try:
            sampler = await self._start()
        except BudgetExhausted:
            return self._finished("budget")
        self._state.open()
        await self._run_chains(sampler)
        if self._state.failed:
            raise self._failure()
        return self._finished(self._state.stop_reason())

    def standing(self, stop_reason: StopReason) -> SearchResult:
        """The texts as they stand."""
        return self._state.result(stop_reason)

    def _finished(self, stop_reason: StopReason) -> SearchResult:
        result = self.standing(stop_reason)
        self._emit(SearchFinished(result=result))
        return result

    async def _start(self) -> Sampler:
        started = await start(self._model, self._prompt, self._state.ledger, self._emit)
        if not isinstance(started, BeamFailure):
            return started
        self._state.fail(started)
        raise self._failure()

    async def _run_chains(self, sampler: Sampler) -> None:
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

    async def _run_chain(
        self,
        sampler: Sampler,
        chain: Chain,
        scope: trio.CancelScope,
        ended: trio.MemorySendChannel[None],
    ) -> None:
        """Make one request after the other, and say when the chain has ended, whatever happens."""
        try:
            with scope:
                while (wanted := chain.step()) is not None:
                    await run_round(sampler, wanted, chain, self._emit)
        finally:
            ended.send_nowait(None)

    def _failure(self) -> SearchFailed:
        partial = self.standing("failed")
        return search_failed(self._state.failures, partial, what="the chains", step="block")

    def _emit(self, event: Event) -> None:
        for observer in self._observers:
            observer(event)
