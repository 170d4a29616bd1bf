"""Prices of tokens, in US dollars. Pure.

Sums are exact: amounts are decimal numbers as long as they are added and multiplied, and become floats in
`Usage` only, by rounding once.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Protocol, TypeAlias

import attrs

from trio_beam.core.printable import counted
from trio_beam.core.validation import documented, number

ZERO = Decimal(0)
_MILLION = Decimal(1_000_000)
_UNIT = "USD per million tokens"


@attrs.frozen(kw_only=True)
class TokenCounts:
    """The tokens of one response, as they are charged for.

    Attributes:
        prompt: tokens of the prompt, cached and written ones included.
        cached: those read from the server's cache.
        written: those written to its cache, where that is charged for.
        completion: generated tokens of all choices, reasoning included.
        reasoning: those that were reasoning.
    """

    prompt: int = 0
    cached: int = 0
    written: int = 0
    completion: int = 0
    reasoning: int = 0

    @classmethod
    def consistent(
        cls, *, prompt: int, cached: int, written: int, completion: int, reasoning: int
    ) -> TokenCounts:
        """Return counts in which no part is larger than its whole, whatever a server says."""
        cached = min(cached, prompt)
        return cls(
            prompt=prompt,
            cached=cached,
            written=min(written, prompt - cached),
            completion=completion,
            reasoning=min(reasoning, completion),
        )


class Price(Protocol):
    """The price of one model's tokens at one time."""

    def cost(self, counts: TokenCounts) -> Decimal:
        """Return the cost of a response."""

    def most(self, prompt: int, completion: int) -> Decimal:
        """Return the most that a response can cost.

        Args:
            prompt: maximum number of tokens of the prompt.
            completion: maximum number of generated tokens.
        """


def decimal_of(amount: float) -> Decimal:
    """Return an amount as it is written, instead of the nearest binary number."""
    return Decimal(repr(amount))


def add_dollars(*amounts: float) -> float:
    """Return the sum of amounts as they are written: 0.1 and 0.2 are 0.3."""
    return float(sum(map(decimal_of, amounts), ZERO))


def dollars(amount: float) -> str:
    """Write an amount for people: to the cent, or to two digits that are not 0."""
    if amount and amount < 1:
        digits = 1 - math.floor(math.log10(amount))
        return f"${amount:.{max(2, digits)}f}"
    return f"${amount:,.2f}"


def describe_cost(cost: float | None, uncertain: float = 0.0, unpriced: int = 0) -> str:
    """Write a cost for people, with what is uncertain about it; "" if no price is known."""
    if cost is None:
        return ""
    notes = [f"{dollars(uncertain)} of it at most"] if uncertain else []
    if unpriced:
        notes.append(f"without {counted(unpriced, 'request')} of unknown price")
    return dollars(cost) + (f" ({', '.join(notes)})" if notes else "")


#: US dollars per million tokens, in steps: each holds for prompts longer than its number of tokens.
Rate: TypeAlias = tuple[tuple[int, Decimal], ...]


@attrs.frozen(kw_only=True)
class PriceTable:
    """A price by rates; see `Rate`. A step's rate holds for all tokens of a response.

    Attributes:
        input: of the prompt's tokens.
        cached: of those that are read from the server's cache.
        written: of those that are written to it.
        output: of generated tokens.
        reasoning: of those that are reasoning.
        request: US dollars for each request.
    """

    input: Rate
    cached: Rate
    written: Rate
    output: Rate
    reasoning: Rate
    request: Decimal = ZERO

    def cost(self, counts: TokenCounts) -> Decimal:
        """Return the cost of a response, in US dollars."""
        parts = (
            (counts.prompt - counts.cached - counts.written, self.input),
            (counts.cached, self.cached),
            (counts.written, self.written),
            (counts.completion - counts.reasoning, self.output),
            (counts.reasoning, self.reasoning),
        )
        tokens = sum((count * _at(rate, counts.prompt) for count, rate in parts), ZERO)
        return tokens / _MILLION + self.request

    def most(self, prompt: int, completion: int) -> Decimal:
        """Return the most that a response can cost, in US dollars.

        What part of the prompt is cached, and of the answer is reasoning, is not known before, and a shorter
        prompt may have a higher rate.
        """
        read = max(_highest(rate, prompt) for rate in (self.input, self.cached, self.written))
        made = max(_highest(rate, prompt) for rate in (self.output, self.reasoning))
        return (prompt * read + completion * made) / _MILLION + self.request


def _at(rate: Rate, prompt: int) -> Decimal:
    return next((price for beyond, price in reversed(rate) if prompt > beyond), rate[0][1])


def _highest(rate: Rate, prompt: int) -> Decimal:
    return max(price for beyond, price in rate if prompt > beyond or (beyond, price) == rate[0])


@documented
@attrs.frozen(kw_only=True)
class Prices:
    """A price list of your own: ``Endpoint(..., prices=Prices(input=0.15, output=0.60))``."""

    input: float = number(minimum=0, unit=_UNIT, help="Price of the prompt's tokens.")
    output: float = number(
        minimum=0, unit=_UNIT, help="Price of generated tokens, reasoning included."
    )
    cached: float | None = number(
        None,
        minimum=0,
        optional=True,
        unit=_UNIT,
        help="Price of the prompt's tokens that the server has read from its cache; None: as `input`.",
    )

    @property
    def table(self) -> PriceTable:
        """The price by this list."""
        cached = self.input if self.cached is None else self.cached
        read, made, again = (((0, decimal_of(one)),) for one in (self.input, self.output, cached))
        return PriceTable(input=read, cached=again, written=read, output=made, reasoning=made)
