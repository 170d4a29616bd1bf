"""The best-scored of n samples."""

from __future__ import annotations

from typing import Annotated, Any

from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.validation import Parameter
from trio_beam.strategies._registry import evolve, one_block, preset


@preset("best_of_n")
def best_of_n(
    n: Annotated[int, Parameter(kind="integer", minimum=1, help="Number of samples.")] = 8,
    temperature: Annotated[
        float, Parameter(kind="number", minimum=0, above=True, help="Sampling temperature.")
    ] = 1.0,
    **others: Any,
) -> BeamSearchConfig:
    """Sample n independent texts and return the best-scored.

    Args:
        n: number of samples.
        temperature: sampling temperature, above 0.
        others: further parameters of `BeamSearchConfig`, such as ``scorer``.

    Raises:
        ConfigError: a parameter is out of bounds, or fixed by the preset.
    """
    fixed = {
        "beam_width": n,
        "proposal_temperature": temperature,
        "early_stopping": False,
        **one_block(others),
    }
    return evolve(BeamSearchConfig, others, **fixed)
