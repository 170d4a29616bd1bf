"""One sample."""

from __future__ import annotations

from typing import Annotated, Any

from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.validation import Parameter
from trio_beam.strategies._registry import evolve, one_block, preset


@preset("sample")
def sample(
    temperature: Annotated[
        float, Parameter(kind="number", minimum=0, help="Temperature of the sampling.")
    ] = 1.0,
    **others: Any,
) -> BeamSearchConfig:
    """One text, sampled at a temperature.

    Args:
        temperature: of the sampling, from 0 up.
        others: further parameters of `BeamSearchConfig`.

    Raises:
        ConfigError: one of them is out of bounds, or set here.
    """
    fixed = {"beam_width": 1, "proposal_temperature": temperature, **one_block(others)}
    return evolve(BeamSearchConfig, others, **fixed)
