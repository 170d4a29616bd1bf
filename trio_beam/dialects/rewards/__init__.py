"""Calls that score texts by a reward model, one per file, registered in `REWARD_CALLS`."""

from trio_beam.dialects.rewards.common.call import (
    REWARD_CALLS,
    RewardCall,
    RewardInput,
    calls_for,
    score_by,
)

__all__ = ["REWARD_CALLS", "RewardCall", "RewardInput", "calls_for", "score_by"]
