"""The public verbs: search by any strategy, and the same under the names of the two that there are."""

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

_RUNS: dict[type[Strategy], type[Run[Any]]] = {
    BeamSearchConfig: BeamSearchRun,
    McmcConfig: ChainsRun,
}


class Search:
    """One search by any strategy, for callers who want the best so far after they cancelled it themselves.

    Args:
        endpoint: an open `Endpoint`, or any other `LanguageModel`.
        prompt: as for `search`.
        strategy: as for `search`.
        observers: as for `search`.
        index: of the search, which its events carry.

    Raises:
        ConfigError: an argument is not usable.
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
        """Search to the end; once only.

        Raises:
            SearchFailed, TrioBeamError: it failed; it was run before.
        """
        return await self._run.run()

    async def run_within(self, seconds: float) -> SearchResult:
        """Search to the end, or until `seconds` are over; once only.

        Raises:
            SearchFailed, TrioBeamError: as `run`.
            ConfigError: `seconds` is no number from 0 up.
        """
        return await self._run.run_within(seconds)

    def best_so_far(self, stop_reason: StopReason) -> SearchResult:
        """The result as it stands, also while `run` is under way or after it was cancelled.

        Raises:
            SearchFailed: the final beams could not be voted on.
        """
        return self._run.best_so_far(stop_reason)


def check_strategy(strategy: Any, kind: type[Strategy] = Strategy) -> Any:
    """Return a strategy, the default one for None.

    Raises:
        ConfigError: it is of another kind.
    """
    if strategy is None:
        return BeamSearchConfig() if kind is Strategy else kind()
    if not isinstance(strategy, kind):
        name = "strategy" if kind is Strategy else "config"
        known = " or ".join(f"a {one.__name__}" for one in _RUNS if issubclass(one, kind))
        raise ConfigError(
            name, f"{known}, or what a preset of trio_beam.strategies returns", strategy
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

    When this returns, raises or is cancelled, no task and no request of it is left. To bound its
    time, put it under a cancel scope of your own, or use `search_within`.

    Args:
        endpoint: an open `Endpoint`, or any other `LanguageModel`.
        prompt: a string, sent as it is; or chat messages, to which the server's own template is
            applied and whose next message (the assistant's) is searched for.
        strategy: a `BeamSearchConfig`, an `McmcConfig`, or the return value of a preset in
            `trio_beam.strategies`; None for ``BeamSearchConfig()``.
        observers: each is called with every event, inline; it must not block.

    Raises:
        SearchFailed: from an `ExceptionGroup` of the causes.
        ConfigError: an argument is not usable.
    """
    return await Search(endpoint, prompt, strategy, observers).run()


async def search_within(
    seconds: float,
    endpoint: LanguageModel,
    prompt: PromptLike,
    strategy: Strategy | None = None,
    *,
    observers: Sequence[Observer] = (),
) -> SearchResult:
    """The anytime search: `search`, which after `seconds` returns the best so far.

    Then ``stop_reason`` is ``"deadline"``, and what had come back of an unfinished round counts
    too; ``beams`` is empty if nothing had. A cancellation from outside is not the deadline: it
    passes through.

    Raises:
        SearchFailed, ConfigError: as `search`; `seconds` is no number from 0 up.
    """
    return await Search(endpoint, prompt, strategy, observers).run_within(seconds)


async def beam_search(
    endpoint: LanguageModel,
    prompt: PromptLike,
    config: BeamSearchConfig | None = None,
    *,
    observers: Sequence[Observer] = (),
) -> SearchResult:
    """`search` by block-level beam search.

    Raises:
        SearchFailed, ConfigError: as `search`.
    """
    strategy = check_strategy(config, BeamSearchConfig)
    return await Search(endpoint, prompt, strategy, observers).run()


async def beam_search_within(
    seconds: float,
    endpoint: LanguageModel,
    prompt: PromptLike,
    config: BeamSearchConfig | None = None,
    *,
    observers: Sequence[Observer] = (),
) -> SearchResult:
    """`search_within` by block-level beam search.

    Raises:
        SearchFailed, ConfigError: as `search_within`.
    """
    strategy = check_strategy(config, BeamSearchConfig)
    return await Search(endpoint, prompt, strategy, observers).run_within(seconds)


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
    behind it is sampled anew, and the result is accepted with

        min(1, p(x')^alpha q(x | x') / (p(x)^alpha q(x' | x)))

    (`core.mcmc.metropolis`), until texts have ``max_tokens``. This is algorithm 1 of Karan and Du 2025,
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

    Raises:
        SearchFailed, ConfigError: as `search`.
    """
    strategy = check_strategy(config, McmcConfig)
    return await Search(endpoint, prompt, strategy, observers).run()


async def mcmc_within(
    seconds: float,
    endpoint: LanguageModel,
    prompt: PromptLike,
    config: McmcConfig | None = None,
    *,
    observers: Sequence[Observer] = (),
) -> SearchResult:
    """`mcmc`, which after `seconds` returns the texts as they stand (``stop_reason="deadline"``).

    Raises:
        SearchFailed, ConfigError: as `search_within`.
    """
    strategy = check_strategy(config, McmcConfig)
    return await Search(endpoint, prompt, strategy, observers).run_within(seconds)
