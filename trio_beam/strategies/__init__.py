"""Named strategies: the configuration classes, and presets (functions that return a configuration).

The command line and benchmark runs use these names.
"""

from trio_beam.strategies._best_of_n import best_of_n
from trio_beam.strategies._greedy import greedy
from trio_beam.strategies._power_sampling import power_sampling
from trio_beam.strategies._registry import (
    STRATEGIES,
    make_strategy,
    strategy_name,
    strategy_options,
)
from trio_beam.strategies._sample import sample
from trio_beam.strategies._self_consistency import self_consistency

__all__ = [
    "STRATEGIES",
    "best_of_n",
    "greedy",
    "make_strategy",
    "power_sampling",
    "sample",
    "self_consistency",
    "strategy_name",
    "strategy_options",
]
