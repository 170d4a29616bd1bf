"""Selections of candidates, one per file, registered in `core.config.SELECTIONS`."""

from trio_beam.core.config import SELECTIONS, Lookahead, Selection
from trio_beam.core.population import Population, ScoredRound
from trio_beam.selection.resample import Resample
from trio_beam.selection.subtrees import Subtrees
from trio_beam.selection.top_k import TopK

__all__ = [
    "SELECTIONS",
    "Lookahead",
    "Population",
    "Resample",
    "ScoredRound",
    "Selection",
    "Subtrees",
    "TopK",
]
