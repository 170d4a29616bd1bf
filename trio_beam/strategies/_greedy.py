"""The most probable token, one after the other."""

from __future__ import annotations

from typing import Any

from trio_beam.core.config import BeamSearchConfig
from trio_beam.strategies._registry import evolve, one_block, preset


@preset("greedy")
def greedy(**others: Any) -> BeamSearchConfig:
    """One text, sampled at temperature 0.

    Args:
        others: further parameters of `BeamSearchConfig`.

    Raises:
        ConfigError: one of them is out of bounds, or set here.
    """
    fixed = {"beam_width": 1, "proposal_temperature": 0.0, **one_block(others)}
    return evolve(BeamSearchConfig, others, **fixed)
