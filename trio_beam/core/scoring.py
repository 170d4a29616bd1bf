"""The two seams of a round: what a candidate is worth, and which candidates stay."""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeAlias

import attrs

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


@attrs.frozen(kw_only=True, eq=False)
class Closing:
    """A round whose candidates are all in and scored.

    Attributes:
        round: its number, from 1.
        ended: beams that ended before, best first.
        carried: beams that have all the tokens they may have, and were not expanded.
        groups: the candidates of each expanded beam, in the order of the samples.
        chance: a uniform number from 0 up to but not 1 for each name that it is asked by.
    """

    round: int
    ended: Sequence[Beam]
    carried: Sequence[Beam]
    groups: Sequence[Sequence[Beam]]
    chance: Callable[[str], float]

    @property
    def candidates(self) -> list[Beam]:
        """What came of the round, and what was carried over it, best first."""
        return rank([*self.carried, *(beam for group in self.groups for beam in group)])


@attrs.frozen(kw_only=True, eq=False)
class Population:
    """What stays: the beams that go on, and those that have ended, each best first."""

    active: Sequence[Beam]
    ended: Sequence[Beam]


Selection: TypeAlias = Callable[[Closing, BeamSearchConfig], Population]


def rank(beams: Iterable[Beam]) -> list[Beam]:
    """Best score first. The sort is stable: equal scores keep their order, parent's rank, then sample."""
    return sorted(beams, key=lambda beam: -beam.score)
