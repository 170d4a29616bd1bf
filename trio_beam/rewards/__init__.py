"""Scorers that ask a server's reward model, registered in `core.scorer.SCORERS`."""

from trio_beam.rewards.reward_model import RewardModel

__all__ = ["RewardModel"]
