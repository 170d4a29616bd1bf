"""Sampling from p^alpha by sequential Monte Carlo."""

from __future__ import annotations

from typing import Annotated, Any

from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.validation import Parameter
from trio_beam.selection.resample import Resample
from trio_beam.strategies._registry import evolve, preset


@preset("power_sampling")
def power_sampling(
    particles: Annotated[
        int, Parameter(kind="integer", minimum=1, help="Number of particles.")
    ] = 16,
    alpha: Annotated[
        float, Parameter(kind="number", minimum=0, above=True, help="Exponent of p^alpha.")
    ] = 4.0,
    **others: Any,
) -> BeamSearchConfig:
    """Draw a text from p^alpha with particles that are resampled by weight.

    With a ``scorer``, from p^alpha * exp(beta * reward).

    Args:
        particles: number of particles; more bring the draw closer to p^alpha.
        alpha: the exponent, above 0.
        others: further parameters of `BeamSearchConfig`; with ``n_per_beam`` 1 by default.

    Raises:
        ConfigError: a parameter is out of bounds, or fixed by the preset.
    """
    given = {"n_per_beam": 1, **others}
    selection = given.get("selection")
    fixed: dict[str, Any] = {"beam_width": particles, "alpha": alpha}
    if not isinstance(selection, Resample):
        fixed["selection"] = "resample"
    return evolve(BeamSearchConfig, given, **fixed)
