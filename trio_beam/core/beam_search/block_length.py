"""The block length that the budget allows in a round."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from decimal import Decimal

from trio_beam.core.beam import Beam
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.model_scorer import ModelScorer
from trio_beam.core.price import ZERO
from trio_beam.core.usage_meter import UsageMeter


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
    requests = n if config.one_by_one else 1
    lengths = [meter.prompt_length + beam.length for beam in beams]
    left = min(meter.tokens_left, meter.total_left - times * requests * sum(lengths))
    if left == float("inf") and not meter.limits_cost:
        return usual, usual
    samples = n * len(beams)
    if isinstance(config.scorer_part, ModelScorer):
        left -= samples * config.scorer_part.samples * config.scorer_part.max_tokens
    longest = max((config.max_tokens - beam.length for beam in beams), default=0)
    block = int(min(max(0.0, left) / (max(samples, 1) * times), usual))
    if meter.limits_cost:

        def cost(tokens: int) -> Decimal:
            each = [meter.bound(tokens * n // requests, one, meter.price) for one in lengths]
            return times * requests * sum(each, ZERO)

        block = bisect_right(range(block + 1), meter.cost_left, key=cost) - 1
    return block, min(usual, longest)
