"""How long the blocks of a round may be, so that its budget suffices."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_beam.core.config import BeamSearchConfig


def affordable(
    config: BeamSearchConfig, left: int | None, lengths: Sequence[int], n: int, *, judged: bool
) -> tuple[int, int]:
    """The tokens of a block, and what they would be with any budget.

    Args:
        config: of the search.
        left: tokens that may still be generated; None: no limit.
        lengths: tokens of each beam that is to be expanded.
        n: continuations of each.
        judged: whether each candidate costs another token, the judge's.
    """
    usual = config.tokens_per_step
    if left is None:
        return usual, usual
    samples = n * len(lengths)
    if judged:
        left = max(0, left - samples)
    # What is weighed may have to be sampled twice.
    each = max(samples, 1) * (2 if config.weighs else 1)
    longest = max((config.max_tokens - length for length in lengths), default=0)
    return min(usual, left // each), min(usual, longest)
