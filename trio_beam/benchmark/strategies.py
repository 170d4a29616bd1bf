"""The strategies of a run: each is a search with a configuration of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from trio_beam.answers.vote import Vote, VoteKey
from trio_beam.benchmark.settings import Settings
from trio_beam.core.config import BeamSearchConfig, Lookahead
from trio_beam.core.events import Observer
from trio_beam.core.language_model import LanguageModel
from trio_beam.core.mcmc.config import McmcConfig
from trio_beam.core.prompt import PromptLike
from trio_beam.core.result import SearchResult
from trio_beam.engine.search import search
from trio_beam.errors import ConfigError
from trio_beam.selection.resample import Resample


@attrs.frozen(kw_only=True)
class Strategy:
    """One way to an answer.

    Attributes:
        kind: its group in the settings.
        label: for people, with what matters of its parameters.
        width: its beams, samples, particles or chains.
        config: without a seed.
        suffix: behind the problem, instead of the group ``prompt``'s; None: that one's.
        debug: whether to print what it does.
    """

    kind: str
    label: str
    width: int
    config: BeamSearchConfig | McmcConfig
    suffix: str | None = None
    debug: bool = False

    def depends_on(self) -> Mapping[str, Any]:
        """What its answers depend on, as JSON can carry it.

        What a configuration leaves as it is by default is left out: a field that the library gets later
        does not make records of today those of another configuration.
        """
        changed = attrs.asdict(self.config, filter=lambda field, value: value != field.default)
        return {"kind": self.kind, "suffix": self.suffix, "config": changed}

    def seed(self, base: int | None, problem: str) -> int | None:
        """The seed for a problem: the same whenever it is run, and another for each problem."""
        if base is None:
            return None
        digest = hashlib.sha256(f"{base}\n{self.kind}\n{problem}".encode()).digest()
        return int.from_bytes(digest[:6])

    async def search(
        self,
        model: LanguageModel,
        prompt: PromptLike,
        seed: int | None,
        observers: Sequence[Observer] = (),
        vote_key: VoteKey | None = None,
    ) -> SearchResult:
        """Search for an answer.

        Args:
            model: who answers.
            prompt: as for `beam_search`.
            seed: of this search.
            observers: as for `beam_search`.
            vote_key: the answer in a text, for strategies that vote.

        Raises:
            SearchFailed, ConfigError: as `beam_search` and `mcmc`.
        """
        config = attrs.evolve(self.config, seed=seed)
        if isinstance(config, BeamSearchConfig) and isinstance(config.answer, Vote):
            config = attrs.evolve(config, answer=attrs.evolve(config.answer, key=vote_key))
        return await search(model, prompt, config, observers=observers)


def enabled_strategies(settings: Settings) -> list[Strategy]:
    """The strategies that are switched on, in the order of the groups.

    Raises:
        ConfigError: none is, or a parameter is out of its bounds (named with its group).
    """
    found = [
        _named(kind, make, settings)
        for kind, make in _MAKERS.items()
        if getattr(settings, kind).enabled
    ]
    if not found:
        switches = ", ".join(f"{kind}.enabled" for kind in _MAKERS)
        raise ConfigError("one of the strategies", f"switched on ({switches})", "none")
    return found


#: Fields of a configuration that are called otherwise in the settings.
_KEYS = {
    "mcmc": {"tokens_per_step": "block_size"},
    "best_of_n": {"beam_width": "n", "proposal_temperature": "temperature"},
    "self_consistency": {"beam_width": "n", "proposal_temperature": "temperature"},
    "power": {"beam_width": "particles"},
    "temperature_sampling": {"proposal_temperature": "temperature"},
}


def _named(kind: str, make: Any, settings: Settings) -> Strategy:
    try:
        strategy: Strategy = make(settings)
    except ConfigError as error:
        if error.field.startswith((f"{kind}.", "benchmark.")):
            raise
        key = _KEYS.get(kind, {}).get(error.field, error.field)
        group = "benchmark" if key == "max_tokens" else kind
        words = str(error).partition(" must be ")[2]
        renamed = ConfigError(f"{group}.{key}", error.bound, None)
        renamed.args = (f"{group}.{key} must be {words}",)
        raise renamed from None
    return strategy


def _greedy(settings: Settings) -> Strategy:
    config = _single(settings, 0)
    return Strategy(
        kind="greedy", label="Greedy", width=1, config=config, suffix=settings.greedy.suffix
    )


def _temperature(settings: Settings) -> Strategy:
    temperature = settings.temperature_sampling.temperature
    return Strategy(
        kind="temperature_sampling",
        label=f"Temperature(T={temperature})",
        width=1,
        config=_single(settings, temperature),
    )


def _single(settings: Settings, temperature: float) -> BeamSearchConfig:
    """One text in one request."""
    return BeamSearchConfig(
        beam_width=1,
        n_per_beam=1,
        proposal_temperature=temperature,
        tokens_per_step=settings.benchmark.max_tokens,
        max_tokens=settings.benchmark.max_tokens,
    )


def _beam_search(settings: Settings) -> Strategy:
    group = settings.beam_search
    config = BeamSearchConfig(
        alpha=group.alpha,
        beam_width=group.beam_width,
        n_per_beam=group.n_per_beam,
        tokens_per_step=group.tokens_per_step,
        max_tokens=settings.benchmark.max_tokens,
        use_length_penalty=group.use_length_penalty,
        length_penalty=group.length_penalty,
        proposal_temperature=group.proposal_temperature,
        top_logprobs=group.top_logprobs,
        early_stopping=group.early_stopping,
        selection=group.selection,
        scorer=group.scorer,
        proposal=group.proposal,  # type: ignore[arg-type]  # the configuration checks the word
        max_total_tokens=group.max_total_tokens,
    )
    label = (
        f"BeamSearch(α={group.alpha},width={group.beam_width},n={group.n_per_beam},"
        f"tps={group.tokens_per_step})"
    )
    return Strategy(
        kind="beam_search", label=label, width=group.beam_width, config=config, debug=group.debug
    )


def _mcmc(settings: Settings) -> Strategy:
    group = settings.mcmc
    if group.restrict_to_last_n is not None:
        bound = "null: to propose changes near the end only would sample from another distribution"
        raise ConfigError("mcmc.restrict_to_last_n", bound, group.restrict_to_last_n)
    config = McmcConfig(
        alpha=group.alpha,
        tokens_per_step=group.block_size,
        max_tokens=settings.benchmark.max_tokens,
        steps=group.steps,
        chains=group.chains,
        proposal_temperature=group.proposal_temperature,
        top_logprobs=group.top_logprobs,
    )
    label = f"MCMC(α={group.alpha},steps={group.steps},B={group.block_size})"
    return Strategy(kind="mcmc", label=label, width=group.chains, config=config, debug=group.debug)


def _best_of_n(settings: Settings) -> Strategy:
    group = settings.best_of_n
    config = attrs.evolve(
        _samples(settings, group.n, group.temperature),
        alpha=group.alpha,
        use_length_penalty=group.use_length_penalty,
        length_penalty=group.length_penalty,
    )
    label = f"BestOfN(n={group.n},T={group.temperature})"
    return Strategy(kind="best_of_n", label=label, width=group.n, config=config)


def _self_consistency(settings: Settings) -> Strategy:
    group = settings.self_consistency
    return Strategy(
        kind="self_consistency",
        label=f"SelfConsistency(n={group.n},T={group.temperature})",
        width=group.n,
        config=attrs.evolve(
            _samples(settings, group.n, group.temperature),
            answer=Vote(by=group.vote_by),  # type: ignore[arg-type]  # it checks the word
        ),
    )


def _samples(settings: Settings, n: int, temperature: float) -> BeamSearchConfig:
    """Texts that know nothing of each other: a search of a single round."""
    return BeamSearchConfig(
        beam_width=n,
        n_per_beam=1,
        proposal_temperature=temperature,
        tokens_per_step=settings.benchmark.max_tokens,
        max_tokens=settings.benchmark.max_tokens,
        early_stopping=False,
    )


def _power(settings: Settings) -> Strategy:
    group = settings.power
    config = BeamSearchConfig(
        alpha=group.alpha,
        beam_width=group.particles,
        n_per_beam=group.n_per_beam,
        tokens_per_step=group.tokens_per_step,
        max_tokens=settings.benchmark.max_tokens,
        selection=Resample(
            ess_threshold=group.ess_threshold,
            lookahead=Lookahead(group.lookahead_tokens, group.lookahead_rollouts)
            if group.lookahead_tokens
            else None,
        ),
    )
    label = f"Power(α={group.alpha},particles={group.particles},tps={group.tokens_per_step})"
    return Strategy(
        kind="power", label=label, width=group.particles, config=config, debug=group.debug
    )


_MAKERS = {
    "greedy": _greedy,
    "temperature_sampling": _temperature,
    "beam_search": _beam_search,
    "mcmc": _mcmc,
    "best_of_n": _best_of_n,
    "self_consistency": _self_consistency,
    "power": _power,
}
