"""The configuration of a Metropolis-Hastings run."""

from __future__ import annotations

import attrs

from trio_beam.core.scorer import SCORERS, AnyScorer, scorer_parameter
from trio_beam.core.strategy import Strategy
from trio_beam.core.validation import documented, integer
from trio_beam.errors import ConfigError


@documented
@attrs.frozen(kw_only=True)
class McmcConfig(Strategy):
    """The parameters of Metropolis-Hastings for p^alpha over blocks, or p^alpha * exp(beta * reward).

    A proposal temperature below 1 raises the acceptance rate, but texts that it makes rare are found late.
    Chains share a budget equally, so the result does not depend on their speed; a chain stops where its
    next request could exceed its share. With ``drop_beam``, if long texts fail more often than short ones,
    the surviving chains favour short texts.

    Raises:
        ConfigError: names the field and its bound.
    """

    steps: int = integer(
        10,
        minimum=0,
        help="Metropolis-Hastings steps after each block; 0 keeps the sampled proposal.",
    )
    chains: int = integer(1, minimum=1, help="Texts sampled independently and concurrently.")
    scorer: str | AnyScorer = scorer_parameter("Reward of texts, beside p^alpha; 'power': none.")

    def __attrs_post_init__(self) -> None:
        self.check_format(self.extra_body)
        if self.proposal_temperature == 0:
            raise ConfigError("proposal_temperature", "a finite number above 0", 0)
        if self.reasoning_budget is not None:
            bound = "None with chains, which resample any part of a text, but not what was forced"
            raise ConfigError("reasoning_budget", bound, self.reasoning_budget)
        if self.min_beams > self.chains:
            raise ConfigError("min_beams", f"at most chains ({self.chains})", self.min_beams)
        minimum = self.chains * self.limit(1)
        self.check_budgets(minimum, f"{minimum}, one block per chain")

    @property
    def max_beams(self) -> int:
        """Maximum number of beams of a result."""
        return self.chains

    @property
    def samples_per_round(self) -> int:
        """Number of continuations sampled at the same time."""
        return self.chains

    @property
    def scorer_part(self) -> AnyScorer:
        """The scorer as an object, even if given by name."""
        found: AnyScorer = SCORERS.part(self.scorer)
        return found

    @property
    def rewards(self) -> bool:
        """Whether a reward is part of the target distribution."""
        return not getattr(self.scorer_part, "is_p_alpha", False)

    @property
    def one_block_instead(self) -> str | None:
        """The setting with which every answer is sampled as a single block; None if it is."""
        return "steps must be 0" if self.steps else super().one_block_instead

    @property
    def several_blocks(self) -> bool:
        """Whether a text is continued: by further blocks, and by each step from any of its tokens."""
        return self.steps > 0 or super().several_blocks

    def limit(self, block: int) -> int:
        """Return the maximum length in tokens of a text with `block` blocks."""
        return min(block * self.tokens_per_step, self.max_tokens)
