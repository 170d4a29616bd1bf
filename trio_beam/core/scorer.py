"""The interface of scorers, and the parameter that takes one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from trio_beam.core.beam import Beam
from trio_beam.core.model_scorer import ModelScorer
from trio_beam.core.registry import Registry
from trio_beam.core.reward_scorer import RewardScorer
from trio_beam.core.validation import part

#: Returns a score for each candidate of a round; higher is better. A beam's own `score` is not yet set
#: when the scorer receives it. Its `logprob` is None unless the scorer has a true attribute
#: ``needs_logprobs`` (or ``top_logprobs`` is above 0).
#: The second argument is the search's configuration, a `BeamSearchConfig` or an `McmcConfig`.
Scorer: TypeAlias = Callable[[Sequence[Beam], Any], Sequence[float]]
#: An asynchronous scorer.
AsyncScorer: TypeAlias = Callable[[Sequence[Beam], Any], Awaitable[Sequence[float]]]
#: Any scorer but a name.
AnyScorer: TypeAlias = Scorer | AsyncScorer | ModelScorer | RewardScorer

SCORERS: Registry[Any] = Registry("scorer", "trio_beam.scorers", "trio_beam.rewards")


def scorer_parameter(help: str) -> Any:  # noqa: A002  # the usual word
    """Declare a parameter that takes a scorer or its name, by default ``"power"``."""
    return part(
        ModelScorer,
        "power",
        registry=SCORERS,
        accepts=lambda value: isinstance(value, RewardScorer) or callable(value),
        accepted="a function, a Judge or a RewardModel",
        help=help,
    )
