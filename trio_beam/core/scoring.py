"""Call a scorer and validate its scores."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar, cast

from trio_beam.core.beam import Beam
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.mcmc_config import McmcConfig
from trio_beam.core.scorer import Scorer
from trio_beam.errors import ScorerError

S = TypeVar("S", bound=Callable[..., object])
AnyConfig: TypeAlias = BeamSearchConfig | McmcConfig


def is_async(scorer: object) -> bool:
    """Return whether a scorer is asynchronous."""
    call = getattr(scorer, "__call__", None)  # noqa: B004  # an object's own, to look at it
    return inspect.iscoroutinefunction(scorer) or inspect.iscoroutinefunction(call)


def needs_logprobs(scorer: S) -> S:
    """Decorate a scorer that reads `Beam.logprob`: otherwise none may be asked for, and it is None."""
    scorer.needs_logprobs = True  # type: ignore[attr-defined]  # a function may have any attribute
    return scorer


def name_of(scorer: object) -> str:
    """Return the name of a scorer for messages."""
    return scorer if isinstance(scorer, str) else getattr(scorer, "__name__", type(scorer).__name__)


def call_scorer(scorer: Scorer, beams: Sequence[Beam], config: AnyConfig) -> list[float]:
    """Score beams by a plain function.

    Raises:
        ScorerError: the scorer raised, or did not return a number for each beam.
    """
    try:
        scores = scorer(beams, config)
    except Exception as error:
        failed = scorer_failed(error, config)
        raise failed from failed.__cause__
    return check_scores(config.scorer, scores, beams)


def scorer_failed(error: Exception, config: AnyConfig) -> ScorerError:
    """Return the error for a scorer that raised, with a hint if a `Beam.logprob` of None may be why.

    It is caused by `error`, unless that says itself how the scorer failed.
    """
    if isinstance(error, ScorerError):
        return error
    message = f"failed: {error!r}"
    if not config.needs_logprobs and isinstance(error, TypeError) and "None" in str(error):
        message += (
            "; no log-probabilities were asked for: put @trio_beam.scorers.needs_logprobs over a scorer that"
            " reads Beam.logprob"
        )
    failed = ScorerError(name_of(config.scorer), message)
    failed.__cause__ = error
    return failed


def check_scores(scorer: object, scores: object, beams: Sequence[Beam]) -> list[float]:
    """Validate scores and return them as floats, one per beam.

    Raises:
        ScorerError: they are not a sequence of numbers, one per beam.
    """
    try:
        values = [float(score) for score in cast("Sequence[float]", scores)]
    except (TypeError, ValueError) as error:
        message = f"did not return a sequence of numbers: {error}"
        raise ScorerError(name_of(scorer), message) from error
    if len(values) != len(beams):
        message = f"returned {len(values)} scores for {len(beams)} candidates"
        raise ScorerError(name_of(scorer), message)
    if any(map(math.isnan, values)):
        raise ScorerError(name_of(scorer), "returned a score that is not a number")
    return values


def rewarded(beam: Beam, score: float, config: AnyConfig) -> Beam:
    """Return a beam with its reward, which replaces that of its beginning in its weight.

    A reward of minus infinity forbids the text and everything that continues it.

    Raises:
        ScorerError: the reward is infinite.
    """
    if score == math.inf:
        raise ScorerError(name_of(config.scorer), "returned an infinite reward")
    gained = -math.inf
    if -math.inf < min(score, beam.reward):
        gained = config.beta * (score - beam.reward)
    return beam.replace(score=score, reward=score, log_weight=beam.log_weight + gained)
