"""Greedy decoding: always the most probable next token."""

from __future__ import annotations

from typing import Any

from trio_beam.core.config import BeamSearchConfig
from trio_beam.strategies._registry import evolve, one_block, preset


@preset("greedy")
def greedy(**others: Any) -> BeamSearchConfig:
    """Sample one text at temperature 0.

    Args:
        others: further parameters of `BeamSearchConfig`.

    Raises:
        ConfigError: a parameter is out of bounds, or fixed by the preset.
    """
    fixed = {"beam_width": 1, "proposal_temperature": 0.0, **one_block(others)}
    return evolve(BeamSearchConfig, others, **fixed)
