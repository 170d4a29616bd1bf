"""The parameters of a Metropolis-Hastings run, checked when they are given."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from trio_beam.core.config import BeamSearchConfig, real, whole, word
from trio_beam.errors import ConfigError


def _stop(value: Any) -> Any:
    """As a search takes it."""
    return BeamSearchConfig(stop=value).stop


@attrs.frozen(kw_only=True)
class McmcConfig:
    """The parameters of `mcmc`. Lengths are in tokens, times in seconds.

    Attributes:
        alpha: exponent of p^alpha, above 0.
        tokens_per_step: length of a block.
        max_tokens: greatest length of a text.
        steps: Metropolis-Hastings steps after each block; 0 leaves the proposal as it is sampled.
        chains: texts that are sampled independently, at the same time.
        proposal_temperature: the temperature that texts are sampled at, above 0. At another than 1 it has to
            be known how probable samples were: as llama.cpp says, elsewhere bounded (``exact=False``).
            Below 1 more is accepted, but texts that the proposal makes too rare are found late.
        top_logprobs: how many alternatives beside each token are to be shown (``Token.top``).
        stop: texts at which a text ends; not part of it.
        seed: makes the run repeatable; None leaves the server's own randomness.
        beam_timeout: seconds that a request of a chain may take, waiting for a free slot not counted.
        on_beam_failure: ``"cancel_siblings"`` ends the run with `SearchFailed` when a chain fails;
            ``"drop_beam"`` goes on with the others. Where long texts fail more often than short ones,
            what is left leans towards short ones.
        min_beams: with ``"drop_beam"``, how many chains must survive.
        max_total_tokens: most tokens that may be generated; each chain has an equal share, so that the
            result does not depend on which of them is fast. A chain whose next request may overrun its
            share stands where it is.
        max_requests: most requests that may be sent, retries and hedges included; what taking the prompt
            has left is shared alike.

    Raises:
        ConfigError: names the field and its bound.
    """

    alpha: float = attrs.field(default=4.0, validator=real(0, above=True))
    tokens_per_step: int = attrs.field(default=192, validator=whole(1))
    max_tokens: int = attrs.field(default=512, validator=whole(1))
    steps: int = attrs.field(default=10, validator=whole(0))
    chains: int = attrs.field(default=1, validator=whole(1))
    proposal_temperature: float = attrs.field(default=1.0, validator=real(0, above=True))
    top_logprobs: int = attrs.field(default=0, validator=whole(0))
    stop: tuple[str, ...] = attrs.field(default=(), converter=_stop)
    seed: int | None = attrs.field(default=None, validator=whole(0, optional=True))
    beam_timeout: float | None = attrs.field(
        default=None, validator=real(0, above=True, optional=True)
    )
    on_beam_failure: Literal["cancel_siblings", "drop_beam"] = attrs.field(
        default="cancel_siblings", validator=word("cancel_siblings", "drop_beam")
    )
    min_beams: int = attrs.field(default=1, validator=whole(1))
    max_total_tokens: int | None = attrs.field(default=None, validator=whole(1, optional=True))
    max_requests: int | None = attrs.field(default=None, validator=whole(1, optional=True))

    def __attrs_post_init__(self) -> None:
        if self.min_beams > self.chains:
            raise ConfigError("min_beams", f"at most chains ({self.chains})", self.min_beams)
        least = self.chains * self.limit(1)
        if self.max_total_tokens is not None and self.max_total_tokens < least:
            raise ConfigError(
                "max_total_tokens",
                f"at least {least}, a block for each of the chains",
                self.max_total_tokens,
            )

    @property
    def blocks(self) -> int:
        """Blocks that it takes to reach ``max_tokens``; the last is shortened."""
        return -(-self.max_tokens // self.tokens_per_step)

    def limit(self, block: int) -> int:
        """Most tokens of a text with so many blocks."""
        return min(block * self.tokens_per_step, self.max_tokens)

    def requests(self) -> BeamSearchConfig:
        """What the requests of a chain have in common with those of a search of one beam."""
        return BeamSearchConfig(
            beam_width=1,
            n_per_beam=1,
            selection="resample",  # samples are weighed
            proposal_temperature=self.proposal_temperature,
            top_logprobs=self.top_logprobs,
            beam_timeout=self.beam_timeout,
            on_beam_failure=self.on_beam_failure,
        )
