"""The strategies of a run, built from registered ones by name, each with its own label and seed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from trio_beam.answers.vote import Vote, VoteKey
from trio_beam.benchmark import original
from trio_beam.benchmark.keys import own_parameters, strategy_groups
from trio_beam.benchmark.settings import Settings, StrategyGroup
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.events import Observer
from trio_beam.core.language_model import LanguageModel
from trio_beam.core.prompt import PromptLike
from trio_beam.core.result import SearchResult
from trio_beam.core.strategy import Strategy
from trio_beam.engine.search import search
from trio_beam.errors import ConfigError
from trio_beam.records.identity import identity_of
from trio_beam.strategies import make_strategy

#: Short names of parameters in labels.
_SHORT = {"alpha": "α", "temperature": "T"}


@attrs.frozen(kw_only=True)
class LabelledStrategy:
    """A strategy of a run.

    Attributes:
        kind: its group in the settings.
        label: display name with its most important parameters.
        config: the strategy itself, without a seed.
        base_seed: overrides the run's seed; None: the run's.
        suffix: text after the problem; overrides that of the group ``prompt``; None: the group's.
        debug: whether to print its debug lines.
        samples: number of answers to each problem.
    """

    kind: str
    label: str
    config: Strategy
    base_seed: int | None = None
    suffix: str | None = None
    debug: bool = False
    samples: int = 1

    @property
    def width(self) -> int:
        """Number of beams, samples, particles or chains."""
        width: int = getattr(self.config, "beam_width", getattr(self.config, "chains", 1))
        return width

    def depends_on(self) -> Mapping[str, Any]:
        """Describe everything that its answers depend on, JSON-compatible."""
        described: dict[str, Any] = {"kind": self.kind, "suffix": self.suffix}
        if self.base_seed is not None:
            described["seed"] = self.base_seed
        return described | {"config": identity_of(self.config)}

    def seed(self, base: int | None, problem: str, sample: int = 0) -> int | None:
        """Return the seed for an answer: distinct for each problem and sample, and the same in every run."""
        base = base if self.base_seed is None else self.base_seed
        if base is None:
            return None
        more = f"\n{sample}" if sample else ""
        digest = hashlib.sha256(f"{base}\n{self.kind}\n{problem}{more}".encode()).digest()
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
            model: the model to search.
            prompt: as for `search`.
            seed: of this search.
            observers: as for `search`.
            vote_key: extracts the answer from a text, for votes without their own key.

        Raises:
            SearchFailed, ConfigError: as `search`.
        """
        config = attrs.evolve(self.config, seed=seed)
        if isinstance(config, BeamSearchConfig):
            vote = config.answer_part
            if isinstance(vote, Vote) and vote.key is None:
                config = attrs.evolve(config, answer=attrs.evolve(vote, key=vote_key))
        return await search(model, prompt, config, observers=observers)


def enabled_strategies(settings: Settings) -> list[LabelledStrategy]:
    """Build the enabled strategies, in group order.

    Raises:
        ConfigError: none is enabled, or a parameter is out of bounds (named with its group).
    """
    found = [
        _make(group, name, settings)
        for group, name in strategy_groups().items()
        if settings.strategies[group].enabled
    ]
    if not found:
        switches = ", ".join(f"{group}.enabled" for group in strategy_groups())
        raise ConfigError("one of the strategies", f"switched on ({switches})", "none")
    return found


def _make(group: str, name: str, settings: Settings) -> LabelledStrategy:
    chosen = settings.strategies[group]
    values = {"max_tokens": settings.benchmark.max_tokens, **chosen.given}
    seed = values.pop("seed", None)
    try:
        config = make_strategy(name, values)
        config.check_format({**settings.model.extra_body, **config.extra_body})
    except ConfigError as error:
        raise _named(error, group, chosen) from None
    return LabelledStrategy(
        kind=group,
        label=_label(group, name, config, chosen.given),
        config=config,
        base_seed=seed,
        suffix=chosen.suffix,
        debug=chosen.debug,
        # At temperature 0 all answers would be the same.
        samples=settings.benchmark.samples if config.proposal_temperature else 1,
    )


def _named(error: ConfigError, group: str, chosen: StrategyGroup) -> ConfigError:
    """Name the key in an error instead of the parameter."""
    shared = error.field == "max_tokens" and "max_tokens" not in chosen.given
    key = f"{'benchmark' if shared else group}.{error.field}"
    named = ConfigError(key, error.bound, None)
    message = str(error)
    named.args = (key + message.removeprefix(error.field),)
    return named


def _label(group: str, name: str, config: Strategy, given: Mapping[str, Any]) -> str:
    """Return the original's label, or one from the strategy's own parameters."""
    own = own_parameters(name) or {}
    values = own | dict(given)
    if group in original.LABELS:
        fields = {one.name: getattr(config, one.name) for one in attrs.fields(type(config))}
        return original.LABELS[group].format(**fields | values)
    idle = config.without_effect()
    shown = [
        f"{_SHORT.get(one, one)}={values[one]}"
        for one in own or given
        if one in given or (isinstance(values[one], (int, float)) and one not in idle)
    ]
    title = "".join(map(str.capitalize, group.split("_")))
    return f"{title}({','.join(shown)})" if shown else title
