"""A language model as the judge (`core.judge`), with the question that it asks if no other is given."""

from __future__ import annotations

from trio_beam.core.judge import Judge
from trio_beam.core.registry import SCORERS

SCORERS.register("judge")(Judge())
