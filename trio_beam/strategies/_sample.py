"""A single sample."""

from __future__ import annotations

from typing import Annotated, Any

from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.validation import Parameter
from trio_beam.strategies._registry import evolve, one_block, preset


@preset("sample")
def sample(
    temperature: Annotated[
        float, Parameter(kind="number", minimum=0, help="Sampling temperature.")
    ] = 1.0,
    **others: Any,
) -> BeamSearchConfig:
    """Sample one text.

    Args:
        temperature: sampling temperature, from 0 up.
        others: further parameters of `BeamSearchConfig`.

    Raises:
        ConfigError: a parameter is out of bounds, or fixed by the preset.
    """
    fixed = {"beam_width": 1, "proposal_temperature": temperature, **one_block(others)}
    return evolve(BeamSearchConfig, others, **fixed)
