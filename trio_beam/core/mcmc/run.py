"""The chains of a run: their seeds, shares of the budget, and result."""

from __future__ import annotations

import math
from functools import reduce
from operator import add

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.block import known
from trio_beam.core.mcmc.chain import Chain
from trio_beam.core.mcmc_config import McmcConfig
from trio_beam.core.result import BeamFailure, SearchResult, StopReason
from trio_beam.core.seeds import Chance, base_seed
from trio_beam.core.statistics import split_r_hat
from trio_beam.core.usage import Usage
from trio_beam.core.usage_meter import UsageMeter
from trio_beam.errors import ScorerError


class McmcRun:
    """A Metropolis-Hastings run of several chains.

    Args:
        config: the configuration.
        entropy: seed of random decisions if the configuration has none.

    Attributes:
        meter: the cost of preparing the prompt.
        chains: empty until `open`.
    """

    def __init__(self, config: McmcConfig, entropy: int = 0) -> None:
        self._config = config
        self._chance = Chance(entropy if config.seed is None else config.seed)
        self.meter = UsageMeter(config.budget)
        self.chains: tuple[Chain, ...] = ()
        self._before: tuple[BeamFailure, ...] = ()

    def open_thinking(self) -> None:
        """Note, before `open`, that the prompt has opened the model's thinking."""
        self._config = attrs.evolve(self._config, reasoning="opened")

    def open(self) -> None:
        """Create the chains, and share the remaining budget among them."""
        config = self._config
        share = config.budget.share(config.chains, self.meter.usage())
        seed = None if config.seed is None else base_seed(config.seed)
        self.chains = tuple(
            Chain(config, number, self._chance, seed, UsageMeter(share))
            for number in range(config.chains)
        )
        for chain in self.chains:
            chain.meter.prompt_length = self.meter.prompt_length
            chain.meter.price = self.meter.price

    def fail(self, failure: BeamFailure) -> None:
        """Record a failure before the first block."""
        self._before = (failure,)

    @property
    def failures(self) -> tuple[BeamFailure, ...]:
        """The failures, by chain."""
        return (*self._before, *(chain.failure for chain in self.chains if chain.failure))

    @property
    def scorer_error(self) -> ScorerError | None:
        """The error of a scorer, which ends all chains."""
        return next((chain.scorer_error for chain in self.chains if chain.scorer_error), None)

    @property
    def failed(self) -> bool:
        """Whether the run has failed."""
        if self.scorer_error is not None:
            return True
        failures = len(self.failures)
        if not failures or self._before or self._config.on_beam_failure == "cancel_siblings":
            return failures > 0
        return len(self.chains) - failures < self._config.min_beams

    def stop_reason(self) -> StopReason:
        """Return why the run has ended."""
        left = [chain for chain in self.chains if chain.failure is None]
        if any(chain.end == "budget" for chain in left):
            return "budget"
        return "finished" if all(chain.beam.ended for chain in left) else "max_tokens"

    def result(self, stop_reason: StopReason) -> SearchResult:
        """Return the current texts, at any moment; those of failed chains only if the run has failed."""
        chains = [chain for chain in self.chains if stop_reason == "failed" or not chain.failure]
        chains = [chain for chain in chains if chain.standing.continuation is not None]
        beams = [self._scored(chain.standing, len(chains)) for chain in chains]
        if beams:
            drawn = beams.pop(int(self._chance("answer") * len(beams)))
            beams.insert(0, drawn)
        return SearchResult(
            text=beams[0].text if beams else "",
            score=beams[0].score if beams else -math.inf,
            beams=tuple(beams),
            usage=self._usage(),
            rounds=min((chain.blocks for chain in chains), default=0),
            stop_reason=stop_reason,
            failures=self.failures,
            exact=all(chain.exact for chain in chains),
            acceptance_rates=tuple(
                chain.accepted / chain.decided if chain.decided else None for chain in chains
            ),
            r_hat=split_r_hat([chain.trace for chain in chains]),
        )

    def _scored(self, beam: Beam, chains: int) -> Beam:
        score = self._config.alpha * known(beam.logprob) if beam.length else -math.inf
        if self._config.rewards:
            score = beam.score
        return attrs.evolve(beam, score=score, weight=1 / chains)

    def _usage(self) -> Usage:
        return reduce(add, [chain.meter.usage() for chain in self.chains], self.meter.usage())
