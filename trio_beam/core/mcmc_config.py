"""The parameters of a Metropolis-Hastings run."""

from __future__ import annotations

import attrs

from trio_beam.core.strategy import Strategy
from trio_beam.core.validation import documented, integer
from trio_beam.errors import ConfigError


@documented
@attrs.frozen(kw_only=True)
class McmcConfig(Strategy):
    """The parameters of Metropolis-Hastings for p^alpha over blocks.

    A proposal temperature below 1 makes more proposals accepted, but texts that it makes too rare are found
    late. Of a budget each chain has an equal share, so that the result does not depend on which chain is
    fast; a chain whose next request could overrun its share stops where it is. With ``drop_beam``, where
    long texts fail more often than short ones, the surviving chains lean towards short texts.

    Raises:
        ConfigError: names the field and its bound.
    """

    steps: int = integer(
        10,
        minimum=0,
        help="Metropolis-Hastings steps after each block; 0 leaves the proposal as it is sampled.",
    )
    chains: int = integer(
        1, minimum=1, help="Texts that are sampled independently, at the same time."
    )

    def __attrs_post_init__(self) -> None:
        if self.proposal_temperature == 0:
            raise ConfigError("proposal_temperature", "a finite number above 0", 0)
        if self.min_beams > self.chains:
            raise ConfigError("min_beams", f"at most chains ({self.chains})", self.min_beams)
        least = self.chains * self.limit(1)
        for name in ("max_total_tokens", "max_completion_tokens"):
            limit = getattr(self, name)
            if limit is not None and limit < least:
                bound = f"at least {least}, a block for each of the chains"
                raise ConfigError(name, bound, limit)

    def limit(self, block: int) -> int:
        """Most tokens of a text with so many blocks."""
        return min(block * self.tokens_per_step, self.max_tokens)
