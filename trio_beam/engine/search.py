"""The public search functions: by any strategy, and by name for beam search and MCMC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.events import Observer
from trio_beam.core.language_model import LanguageModel
from trio_beam.core.mcmc_config import McmcConfig
from trio_beam.core.prompt import PromptLike
from trio_beam.core.result import SearchResult, StopReason
from trio_beam.core.strategy import Strategy
from trio_beam.engine.beam_search import BeamSearchRun
from trio_beam.engine.mcmc import ChainsRun
from trio_beam.engine.run import Run
from trio_beam.errors import ConfigError
from trio_beam.event_loop import require_trio

_RUNS: dict[type[Strategy], type[Run[Any]]] = {
    BeamSearchConfig: BeamSearchRun,
    McmcConfig: ChainsRun,
}


class Search:
    """One search by any strategy, for callers that cancel it themselves and want the best result so far.

    Args:
        endpoint: an open `Endpoint`, or any other `LanguageModel`.
        prompt: as for `search`.
        strategy: as for `search`.
        observers: as for `search`.
        index: of the search, which its events carry.

    Raises:
        ConfigError: an argument is invalid.
    """

    def __init__(
        self,
        endpoint: LanguageModel,
        prompt: PromptLike,
        strategy: Strategy | None = None,
        observers: Sequence[Observer] = (),
        *,
        index: int = 0,
    ) -> None:
        self.strategy = check_strategy(strategy)
        run = _run_of(self.strategy)
        self._run = run(endpoint, prompt, self.strategy, observers, index=index)

    async def run(self) -> SearchResult:
        """Search to the end; only once.

        Raises:
            SearchFailed, TrioBeamError: it failed, or has already run.
        """
        return await self._run.run()

    async def run_within(self, seconds: float) -> SearchResult:
        """Search to the end or for `seconds`; only once.

        Raises:
            SearchFailed, TrioBeamError: as `run`.
            ConfigError: `seconds` is not a number from 0 up.
        """
        return await self._run.run_within(seconds)

    def best_so_far(self, stop_reason: StopReason) -> SearchResult:
        """Return the best result so far, also while `run` is running or after it was cancelled.

        Raises:
            SearchFailed: the final beams cannot be voted on.
        """
        return self._run.best_so_far(stop_reason)


def check_strategy(strategy: Any, kind: type[Strategy] = Strategy) -> Any:
    """Validate a strategy; return the default one for None.

    Raises:
        ConfigError: it is not an instance of `kind`.
    """
    if strategy is None:
        return BeamSearchConfig() if kind is Strategy else kind()
    if not isinstance(strategy, kind):
        name = "strategy" if kind is Strategy else "config"
        known = " or ".join(f"a {one.__name__}" for one in _RUNS if issubclass(one, kind))
        raise ConfigError(
            name, f"{known}, or the return value of a preset in trio_beam.strategies", strategy
        )
    return strategy


def _run_of(strategy: Strategy) -> type[Run[Any]]:
    return next(run for kind, run in _RUNS.items() if isinstance(strategy, kind))


async def search(
    endpoint: LanguageModel,
    prompt: PromptLike,
    strategy: Strategy | None = None,
    *,
    observers: Sequence[Observer] = (),
) -> SearchResult:
    """Search for a continuation of `prompt` by any strategy.

    When this returns, raises or is cancelled, none of its tasks or requests is left. To bound its time, use
    your own cancel scope or `search_within`.

    Args:
        endpoint: an open `Endpoint`, or any other `LanguageModel`.
        prompt: a string, sent verbatim; or chat messages, to which the server's template is applied and
            whose next message (the assistant's) is searched for.
        strategy: a `BeamSearchConfig`, an `McmcConfig`, or the return value of a preset in
            `trio_beam.strategies`; None for ``BeamSearchConfig()``.
        observers: called inline with every event; must not block.

    Raises:
        SearchFailed: from an `ExceptionGroup` of the causes.
        ConfigError: an argument is invalid.
    """
    require_trio("search")
    return await Search(endpoint, prompt, strategy, observers).run()


async def search_within(
    seconds: float,
    endpoint: LanguageModel,
    prompt: PromptLike,
    strategy: Strategy | None = None,
    *,
    observers: Sequence[Observer] = (),
) -> SearchResult:
    """Anytime search: like `search`, but returns the best result so far after `seconds`.

    After the deadline ``stop_reason`` is ``"deadline"``, and the received part of an unfinished round counts
    too; ``beams`` is empty if nothing arrived. A cancellation from outside propagates.

    Raises:
        SearchFailed, ConfigError: as `search`; `seconds` is not a number from 0 up.
    """
    require_trio("search_within")
    return await Search(endpoint, prompt, strategy, observers).run_within(seconds)


async def beam_search(
    endpoint: LanguageModel,
    prompt: PromptLike,
    config: BeamSearchConfig | None = None,
    *,
    observers: Sequence[Observer] = (),
) -> SearchResult:
    """Run `search` with block-level beam search.

    Raises:
        SearchFailed, ConfigError: as `search`.
    """
    require_trio("beam_search")
    strategy = check_strategy(config, BeamSearchConfig)
    return await search(endpoint, prompt, strategy, observers=observers)


async def beam_search_within(
    seconds: float,
    endpoint: LanguageModel,
    prompt: PromptLike,
    config: BeamSearchConfig | None = None,
    *,
    observers: Sequence[Observer] = (),
) -> SearchResult:
    """Run `search_within` with block-level beam search.

    Raises:
        SearchFailed, ConfigError: as `search_within`.
    """
    require_trio("beam_search_within")
    strategy = check_strategy(config, BeamSearchConfig)
    return await search_within(seconds, endpoint, prompt, strategy, observers=observers)


async def mcmc(
    endpoint: LanguageModel,
    prompt: PromptLike,
    config: McmcConfig | None = None,
    *,
    observers: Sequence[Observer] = (),
) -> SearchResult:
    """Sample continuations of `prompt` from p^alpha, by Metropolis-Hastings over blocks.

    Each chain appends ``tokens_per_step`` tokens sampled from the proposal q (the model at
    ``proposal_temperature``), then makes ``steps`` steps: it draws a position of the text uniformly,
    resamples everything after it, and accepts the result with probability

        min(1, p(x')^alpha q(x | x') / (p(x)^alpha q(x' | x)))

    (`core.mcmc.metropolis`), until texts have ``max_tokens`` tokens. This is algorithm 1 of Karan and Du
    2025, "Reasoning with Sampling" (arXiv 2510.14901).

    The target after block k of B tokens is p^alpha, normalised over the texts that ended within k B tokens
    (``max_tokens`` after the last block) and the unfinished texts of exactly that length. An ended text
    gets no more blocks but still makes steps, in which it may grow. The steps preserve the target (detailed
    balance), and more of them bring a chain closer to it. A text that fills the model's context counts as
    having the maximum length.

    The result's ``beams`` are the chains' texts with equal ``weight``: first one drawn at random, which is
    the answer, then the others by chain. ``score`` is ``alpha * logprob``, in nats. ``rounds`` is the number
    of blocks that every chain has completed. ``exact`` means that all compared texts, including rejected
    ones, had true log-probabilities. ``stop_reason`` is ``"finished"`` if every text has ended,
    ``"budget"`` if a chain made fewer steps than configured, else ``"max_tokens"``.

    Raises:
        SearchFailed, ConfigError: as `search`.
    """
    require_trio("mcmc")
    strategy = check_strategy(config, McmcConfig)
    return await search(endpoint, prompt, strategy, observers=observers)


async def mcmc_within(
    seconds: float,
    endpoint: LanguageModel,
    prompt: PromptLike,
    config: McmcConfig | None = None,
    *,
    observers: Sequence[Observer] = (),
) -> SearchResult:
    """Like `mcmc`, but return the current texts after `seconds` (``stop_reason="deadline"``).

    Raises:
        SearchFailed, ConfigError: as `search_within`.
    """
    require_trio("mcmc_within")
    strategy = check_strategy(config, McmcConfig)
    return await search_within(seconds, endpoint, prompt, strategy, observers=observers)
