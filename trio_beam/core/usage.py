"""The cost of a search, and the limits on it."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from typing import Any

import attrs

from trio_beam.core.price import ZERO, add_dollars, decimal_of, describe_cost


@attrs.frozen(kw_only=True)
class Usage:
    """The cost of a search, including failed and cancelled requests.

    Attributes:
        prompt_tokens: prompt tokens by the server's count, over all responses (0 without a count).
        cached_tokens: prompt tokens read from the server's cache; None if unknown.
        completion_tokens: generated tokens, counted from the continuations.
        discarded_tokens: generated tokens behind the end of a step, a stop string or a budget for thinking,
            which no beam has.
        reasoning_tokens: generated tokens that were reasoning; None if unknown.
        requests: requests sent, including retries and hedges.
        retries: requests that repeated a failed one.
        cancelled: requests abandoned before their response was complete.
        cached_responses: responses from a cache, which are not among the requests and cost nothing; their
            tokens are among the others.
        cost: in US dollars, of all requests whose price is known; None if no price is known.
        uncertain_cost: the part of `cost` that is an upper bound: requests that were cancelled or lost, and
            responses without a count of the prompt's tokens.
        unpriced: requests that may have cost something, but whose price is not known; `cost` lacks them.
    """

    prompt_tokens: int = 0
    cached_tokens: int | None = None
    completion_tokens: int = 0
    discarded_tokens: int = 0
    reasoning_tokens: int | None = None
    requests: int = 0
    retries: int = 0
    cancelled: int = 0
    cached_responses: int = 0
    cost: float | None = None
    uncertain_cost: float = 0.0
    unpriced: int = 0

    @property
    def price_in_words(self) -> str:
        """Its cost for people, with what it lacks; "" if no price is known."""
        return describe_cost(self.cost, self.uncertain_cost, self.unpriced)

    def __add__(self, other: Usage) -> Usage:
        """Return the sum of what is known; `unpriced` tells what its cost lacks."""
        names = [field.name for field in attrs.fields(Usage)]
        sums: dict[str, Any] = {n: _sum(getattr(self, n), getattr(other, n)) for n in names}
        return Usage(**sums)


def _sum(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, int) and isinstance(other, int):
        return one + other
    return add_dollars(one, other)


#: Parts of a dollar to which shares of a budget are rounded down.
_SHARE = Decimal("1e-12")


@attrs.frozen(kw_only=True)
class Budget:
    """Limits on a search's cost; None: no limit.

    Attributes:
        total_tokens: prompt and completion tokens of all requests.
        completion_tokens: generated tokens.
        requests: requests sent, including retries and hedges, and responses from a cache.
        cost: in US dollars, of all requests.
    """

    total_tokens: int | None = None
    completion_tokens: int | None = None
    requests: int | None = None
    cost: Decimal | None = None

    def share(self, parts: int, spent: Usage) -> Budget:
        """Return one of `parts` equal shares of what is left after `spent`."""

        def part(limit: int | None, used: int) -> int | None:
            return None if limit is None else max(0, limit - used) // parts

        cost = self.cost
        if cost is not None:
            left = max(ZERO, cost - decimal_of(spent.cost or 0.0)) / parts
            cost = left.quantize(_SHARE, ROUND_DOWN)
        return Budget(
            total_tokens=part(self.total_tokens, spent.prompt_tokens + spent.completion_tokens),
            completion_tokens=part(self.completion_tokens, spent.completion_tokens),
            requests=part(self.requests, spent.requests + spent.cached_responses),
            cost=cost,
        )
