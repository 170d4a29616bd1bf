"""The base of all strategies, with the parameters that they share."""

from __future__ import annotations

from typing import Literal

import attrs

from trio_beam.core.usage import Budget
from trio_beam.core.validation import (
    PARAMETER,
    Parameter,
    as_tuple,
    check_declared,
    documented,
    integer,
    number,
    one_of,
)


@documented
@attrs.frozen(kw_only=True)
class Strategy:
    """Base of all strategies: a configuration that says which search is run, and how."""

    alpha: float = number(
        4.0,
        above=0,
        help="Exponent of p^alpha. With arg-max selection it scales every score alike and changes no order; a"
        " vote by score it makes sharper.",
    )
    tokens_per_step: int = integer(192, minimum=1, unit="tokens", help="Length of a block.")
    max_tokens: int = integer(512, minimum=1, unit="tokens", help="Greatest length of a beam.")
    proposal_temperature: float = number(
        1.0,
        minimum=0,
        help="Temperature of the sampling. 0 only where a single continuation is sampled: all would be the"
        " same.",
    )
    top_logprobs: int = integer(
        0, minimum=0, help="Alternatives to show beside each token (Token.top)."
    )
    stop: tuple[str, ...] = attrs.field(
        default=(),
        converter=as_tuple,
        validator=check_declared,
        metadata={
            PARAMETER: Parameter(
                kind="texts", help="Texts at which a beam ends; not part of its text."
            )
        },
    )
    seed: int | None = integer(
        None,
        minimum=0,
        optional=True,
        help="Makes the search repeatable; None leaves the server's own randomness.",
    )
    beam_timeout: float | None = number(
        None,
        above=0,
        optional=True,
        unit="seconds",
        help="Time that a beam may take in a round, waiting for a free slot not counted. Where a beam takes"
        " several requests, because the server caps n, it holds for each.",
    )
    on_beam_failure: Literal["cancel_siblings", "drop_beam"] = one_of(
        "cancel_siblings",
        "drop_beam",
        help="Whether a beam that fails ends the search with SearchFailed, or is dropped while the others"
        " go on.",
    )
    min_beams: int = integer(
        1, minimum=1, help="With drop_beam: fewest beams (or chains) that must survive."
    )
    max_total_tokens: int | None = integer(
        None,
        minimum=1,
        optional=True,
        unit="tokens",
        help="Budget of prompt and completion tokens, all requests together. A request that could overrun it"
        " is not sent; the search then ends with the best so far.",
    )
    max_completion_tokens: int | None = integer(
        None,
        minimum=1,
        optional=True,
        unit="tokens",
        help="Budget of generated tokens, all beams together.",
    )
    max_requests: int | None = integer(
        None, minimum=1, optional=True, help="Budget of requests, retries and hedges included."
    )

    @property
    def budget(self) -> Budget:
        """The most that the search may spend."""
        return Budget(
            total_tokens=self.max_total_tokens,
            completion_tokens=self.max_completion_tokens,
            requests=self.max_requests,
        )

    @property
    def rounds(self) -> int:
        """Blocks that it takes to reach ``max_tokens``; the last one is shortened."""
        return -(-self.max_tokens // self.tokens_per_step)
