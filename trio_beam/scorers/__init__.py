"""Scorers of candidates, one per file, registered in `core.scorer.SCORERS`."""

from trio_beam.core.model_scorer import ModelScorer
from trio_beam.core.scorer import SCORERS, AsyncScorer, Scorer
from trio_beam.core.scoring import needs_logprobs
from trio_beam.scorers.equal import Equal
from trio_beam.scorers.judge import Judge
from trio_beam.scorers.mean_logprob import MeanLogprob
from trio_beam.scorers.power import Power
from trio_beam.scorers.rating import Rating

__all__ = [
    "SCORERS",
    "AsyncScorer",
    "Equal",
    "Judge",
    "MeanLogprob",
    "ModelScorer",
    "Power",
    "Rating",
    "Scorer",
    "needs_logprobs",
]
