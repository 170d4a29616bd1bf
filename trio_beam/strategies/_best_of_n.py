"""The best-scored one of n samples."""

from __future__ import annotations

from typing import Annotated, Any

from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.validation import Parameter
from trio_beam.strategies._registry import evolve, one_block, preset


@preset("best_of_n")
def best_of_n(
    n: Annotated[int, Parameter(kind="integer", minimum=1, help="Samples.")] = 8,
    temperature: Annotated[
        float, Parameter(kind="number", minimum=0, above=True, help="Temperature of the sampling.")
    ] = 1.0,
    **others: Any,
) -> BeamSearchConfig:
    """The best-scored of n independent texts.

    Args:
        n: samples.
        temperature: of the sampling, above 0.
        others: further parameters of `BeamSearchConfig`, such as ``scorer``.

    Raises:
        ConfigError: one of them is out of bounds, or set here.
    """
    fixed = {
        "beam_width": n,
        "proposal_temperature": temperature,
        "early_stopping": False,
        **one_block(others),
    }
    return evolve(BeamSearchConfig, others, **fixed)
