"""What a candidate is worth: the seam that scorers fit into."""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeAlias, cast

from trio_beam.core.beam import Beam
from trio_beam.core.config import BeamSearchConfig
from trio_beam.errors import ScorerError

#: All candidates of a round at once, to one score each; higher is better. A beam's own `score` is
#: not set yet when a scorer sees it.
Scorer: TypeAlias = Callable[[Sequence[Beam], BeamSearchConfig], Sequence[float]]
#: The same, for a score that has to be waited for.
AsyncScorer: TypeAlias = Callable[[Sequence[Beam], BeamSearchConfig], Awaitable[Sequence[float]]]


def is_async(scorer: object) -> bool:
    """Whether a scorer has to be awaited."""
    call = getattr(scorer, "__call__", None)  # noqa: B004  # an object's own, to look at it
    return inspect.iscoroutinefunction(scorer) or inspect.iscoroutinefunction(call)


def name_of(scorer: object) -> str:
    """How to call a scorer in a message."""
    return scorer if isinstance(scorer, str) else getattr(scorer, "__name__", type(scorer).__name__)


def call_scorer(scorer: object, beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
    """The scores that a plain function gives.

    Raises:
        ScorerError: it raised, or gave anything else.
    """
    try:
        scores = cast("Scorer", scorer)(beams, config)
    except Exception as error:
        raise ScorerError(name_of(config.scorer), f"failed: {error!r}") from error
    return check_scores(config.scorer, scores, beams)


def check_scores(scorer: object, scores: object, beams: Sequence[Beam]) -> list[float]:
    """The scores, one number for each beam.

    Raises:
        ScorerError: they are not that.
    """
    try:
        values = [float(score) for score in scores]  # type: ignore[attr-defined]
    except (TypeError, ValueError) as error:
        raise ScorerError(name_of(scorer), f"gave what is no list of numbers: {error}") from error
    if len(values) != len(beams):
        raise ScorerError(name_of(scorer), f"gave {len(values)} scores for {len(beams)} candidates")
    if any(map(math.isnan, values)):
        raise ScorerError(name_of(scorer), "gave a score that is not a number")
    return values


def rank(beams: Iterable[Beam]) -> list[Beam]:
    """Best score first. The sort is stable: equal scores keep their order, parent's rank, then sample."""
    return sorted(beams, key=lambda beam: -beam.score)
