"""The block length that the budget allows in a round."""

from __future__ import annotations

from collections.abc import Sequence

from trio_beam.core.beam import Beam
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.model_scorer import ModelScorer
from trio_beam.core.usage import UsageMeter


def affordable(
    config: BeamSearchConfig, meter: UsageMeter, beams: Sequence[Beam], n: int
) -> tuple[int, int]:
    """Return the block length in tokens, and its value without a budget.

    Args:
        config: of the search.
        meter: knows the remaining budget.
        beams: the beams to expand.
        n: number of continuations per beam.
    """
    usual = config.tokens_per_step
    # Samples whose log q is needed may have to be sampled twice.
    times = 2 if config.needs_proposal_logprobs else 1
    # Samples that can be cancelled one by one are requests of their own.
    times_read = times * (n if config.one_by_one else 1)
    prompts = times_read * sum(meter.prompt_length + beam.length for beam in beams)
    left = min(meter.tokens_left, meter.total_left - prompts)
    if left == float("inf"):
        return usual, usual
    samples = n * len(beams)
    if isinstance(config.scorer_part, ModelScorer):
        left -= samples * config.scorer_part.samples * config.scorer_part.max_tokens
    longest = max((config.max_tokens - beam.length for beam in beams), default=0)
    block = int(max(0.0, left)) // (max(samples, 1) * times)
    return min(usual, block), min(usual, longest)
