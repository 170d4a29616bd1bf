"""The cost of a search so far, and what it may still spend."""

from __future__ import annotations

import math
from typing import Any

import attrs

from trio_beam.errors import BudgetExhausted


@attrs.frozen(kw_only=True)
class Usage:
    """The cost of a search, failed and cancelled requests included.

    Attributes:
        prompt_tokens: sum over all responses of what the server counted as prompt (0 where it
            does not count).
        cached_tokens: how many of them the server read from its cache; None where it does not say.
        completion_tokens: tokens generated, counted from the continuations themselves.
        reasoning_tokens: how many of them were reasoning; None where that is not known.
        requests: requests sent, retries and hedges included.
        retries: how many of them repeated one that had failed.
        cancelled: how many of them were given up before their response was whole.
        cost: in US dollars; None where no price is known.
    """

    prompt_tokens: int = 0
    cached_tokens: int | None = None
    completion_tokens: int = 0
    reasoning_tokens: int | None = None
    requests: int = 0
    retries: int = 0
    cancelled: int = 0
    cost: float | None = None

    def __add__(self, other: Usage) -> Usage:
        """The sum; an unknown number is left out of it."""
        names = [field.name for field in attrs.fields(Usage)]
        sums: dict[str, Any] = {n: _sum(getattr(self, n), getattr(other, n)) for n in names}
        return Usage(**sums)


def _sum(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other


@attrs.frozen(kw_only=True)
class Budget:
    """The most that a search may spend; None: no limit.

    Attributes:
        total_tokens: prompt and completion tokens of all requests.
        completion_tokens: tokens generated.
        requests: requests sent, retries and hedges included.
    """

    total_tokens: int | None = None
    completion_tokens: int | None = None
    requests: int | None = None

    def share(self, parts: int, spent: Usage) -> Budget:
        """An equal share, among so many, of what is left after `spent`."""

        def part(limit: int | None, used: int) -> int | None:
            return None if limit is None else max(0, limit - used) // parts

        return Budget(
            total_tokens=part(self.total_tokens, spent.prompt_tokens + spent.completion_tokens),
            completion_tokens=part(self.completion_tokens, spent.completion_tokens),
            requests=part(self.requests, spent.requests),
        )


class UsageMeter:
    """Counts one search's requests and tokens while they happen, within its budget.

    Attributes:
        prompt_length: tokens of the search's prompt, or an upper bound; 0 while nothing is known.
    """

    def __init__(self, budget: Budget | None = None) -> None:
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.requests = 0
        self.retries = 0
        self.cancelled = 0
        self.prompt_length = 0
        self._budget = budget or Budget()
        self._committed = 0  # completion tokens
        self._committed_prompt = 0
        self._allotted = 0  # requests

    def usage(self) -> Usage:
        """The counts as they stand."""
        return Usage(
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            requests=self.requests,
            retries=self.retries,
            cancelled=self.cancelled,
        )

    @property
    def tokens_left(self) -> float:
        """Completion tokens that may still be generated; infinity without a limit.

        What the prompts of their requests cost is not taken off: see `total_left`.
        """
        limit = self._budget.completion_tokens
        return math.inf if limit is None else max(0, limit - self._completion)

    @property
    def total_left(self) -> float:
        """Prompt and completion tokens that may still be spent; infinity without a limit."""
        limit = self._budget.total_tokens
        prompt = max(self._committed_prompt, self.prompt_tokens)
        return math.inf if limit is None else max(0, limit - self._completion - prompt)

    @property
    def _completion(self) -> int:
        # A model in this process need not reserve; then what came back is all that is known.
        return max(self._committed, self.completion_tokens)

    def reservation(
        self, prompt_tokens: int = 0, allotment: Allotment | None = None
    ) -> Reservation:
        """A part of the budget, to be reserved before a request is sent.

        Args:
            prompt_tokens: of each request that reads the prompt, or an upper bound.
            allotment: set aside for the first of the requests.
        """
        return Reservation(self, prompt_tokens, allotment)

    def allot(self, tokens: int, prompt_tokens: int = 0) -> Allotment | None:
        """Set aside what a request may cost, long before it is sent; None: the budget has no more.

        Whoever allots in a certain order decides who goes without, whichever request is sent first.
        """
        if not self.allows(tokens, prompt_tokens):
            return None
        self._allotted += 1
        self.commit(tokens, prompt_tokens)
        return Allotment(self, tokens, prompt_tokens)

    def give_back(self, allotment: Allotment) -> None:
        """Take back what was set aside."""
        self._allotted -= 1
        self.commit(-allotment.tokens, -allotment.prompt_tokens)

    def allows(self, tokens: int, prompt_tokens: int = 0, *, requests: int = 1) -> bool:
        """Whether so many more requests, of so many tokens together, may be sent beside those allotted."""
        limit = self._budget.requests
        sent = self.requests + self._allotted + requests
        enough = limit is None or sent <= limit
        return enough and tokens <= self.tokens_left and tokens + prompt_tokens <= self.total_left

    def commit(self, tokens: int, prompt_tokens: int = 0) -> None:
        """Count tokens as spent or about to be (negative: no longer)."""
        self._committed += tokens
        self._committed_prompt += prompt_tokens


class Allotment:
    """What was set aside for one request; given back as soon as that reserves, or is not sent."""

    def __init__(self, meter: UsageMeter, tokens: int, prompt_tokens: int) -> None:
        self._meter: UsageMeter | None = meter
        self.tokens = tokens
        self.prompt_tokens = prompt_tokens

    def release(self) -> None:
        """Give it back; once is enough."""
        if self._meter is not None:
            self._meter.give_back(self)
            self._meter = None


class Reservation:
    """The most that the requests of one exchange may cost, until their true cost is known."""

    def __init__(
        self, meter: UsageMeter, prompt_tokens: int = 0, allotment: Allotment | None = None
    ) -> None:
        self._meter = meter
        self._prompt_tokens = prompt_tokens
        self._allotment = allotment
        self._answered = 0
        self._answered_prompt = 0

    def allows(self, tokens: int) -> bool:
        """Whether `reserve` would succeed."""
        return self._meter.allows(tokens, self._prompt(tokens))

    def reserve(self, tokens: int) -> None:
        """Set aside the most that a request may cost, before it is sent.

        Args:
            tokens: the most that it may generate; with 0 the request costs no tokens at all.

        Raises:
            BudgetExhausted: the search may not send it.
        """
        if self._allotment is not None:
            self._allotment.release()
        if not self.allows(tokens):
            raise BudgetExhausted("the search has used up its budget")
        self._meter.commit(tokens, self._prompt(tokens))

    def refund(self, tokens: int) -> None:
        """Give back what a request surely did not cost."""
        self._meter.commit(-tokens, -self._prompt(tokens))

    def answered(self, tokens: int) -> None:
        """Note the response to a request that had reserved so many; `settle` says what it cost."""
        self._answered += tokens
        self._answered_prompt += self._prompt(tokens)

    def settle(self, generated: int, prompt_tokens: int = 0) -> None:
        """Replace the reservations of all requests that were answered by their true cost."""
        self._meter.commit(generated - self._answered, prompt_tokens - self._answered_prompt)
        self._answered = self._answered_prompt = 0

    def _prompt(self, tokens: int) -> int:
        return self._prompt_tokens if tokens else 0
