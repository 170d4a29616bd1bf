"""Rules for which of the final beams is the answer: one file each, found by `core.config.ANSWERS`."""

from trio_beam.answers.best import Best
from trio_beam.answers.vote import Vote

__all__ = ["Best", "Vote"]
