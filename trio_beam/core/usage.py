"""The cost of a search and its budget."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs

from trio_beam.errors import BudgetExhausted


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
        cost: in US dollars; None if no price is known.
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

    def __add__(self, other: Usage) -> Usage:
        """Return the sum; unknown values are ignored."""
        names = [field.name for field in attrs.fields(Usage)]
        sums: dict[str, Any] = {n: _sum(getattr(self, n), getattr(other, n)) for n in names}
        return Usage(**sums)


def _sum(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other


@attrs.frozen(kw_only=True)
class Budget:
    """Limits on a search's cost; None: no limit.

    Attributes:
        total_tokens: prompt and completion tokens of all requests.
        completion_tokens: generated tokens.
        requests: requests sent, including retries and hedges, and responses from a cache.
    """

    total_tokens: int | None = None
    completion_tokens: int | None = None
    requests: int | None = None

    def share(self, parts: int, spent: Usage) -> Budget:
        """Return one of `parts` equal shares of what is left after `spent`."""

        def part(limit: int | None, used: int) -> int | None:
            return None if limit is None else max(0, limit - used) // parts

        return Budget(
            total_tokens=part(self.total_tokens, spent.prompt_tokens + spent.completion_tokens),
            completion_tokens=part(self.completion_tokens, spent.completion_tokens),
            requests=part(self.requests, spent.requests + spent.cached_responses),
        )


class UsageMeter:
    """Counts a search's requests and tokens as they occur, within its budget.

    Attributes:
        prompt_length: length of the search's prompt in tokens, or an upper bound; 0 while unknown.
    """

    def __init__(self, budget: Budget | None = None) -> None:
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.discarded_tokens = 0
        self.reasoning_tokens: int | None = None
        self.requests = 0
        self.retries = 0
        self.cancelled = 0
        self.cached_responses = 0
        self.prompt_length = 0
        self._budget = budget or Budget()
        self._committed = 0  # completion tokens
        self._committed_prompt = 0
        self._allotted = 0  # requests

    def usage(self) -> Usage:
        """Return the current counts."""
        return Usage(
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            discarded_tokens=self.discarded_tokens,
            reasoning_tokens=self.reasoning_tokens,
            requests=self.requests,
            retries=self.retries,
            cancelled=self.cancelled,
            cached_responses=self.cached_responses,
        )

    @property
    def reserved(self) -> tuple[int, int]:
        """Completion and prompt tokens that count against the budget: spent, or possibly spent."""
        return self._committed, self._committed_prompt

    @property
    def tokens_left(self) -> float:
        """Number of completion tokens left; infinite without a limit.

        Excludes the cost of prompts: see `total_left`.
        """
        limit = self._budget.completion_tokens
        return math.inf if limit is None else max(0, limit - self._completion)

    @property
    def total_left(self) -> float:
        """Number of prompt and completion tokens left; infinite without a limit."""
        limit = self._budget.total_tokens
        prompt = max(self._committed_prompt, self.prompt_tokens)
        return math.inf if limit is None else max(0, limit - self._completion - prompt)

    @property
    def _completion(self) -> int:
        # An in-process model need not reserve; then only returned tokens are known.
        return max(self._committed, self.completion_tokens)

    def reservation(
        self,
        prompt_tokens: int = 0,
        allotment: Allotment | None = None,
        *,
        least_prompt: int | None = None,
    ) -> Reservation:
        """Return a reservation, to be made before requests are sent.

        Args:
            prompt_tokens: per request that reads the prompt, or an upper bound.
            allotment: for the first of the requests.
            least_prompt: what the prompt has at least, if `prompt_tokens` is only a bound.
        """
        least = prompt_tokens if least_prompt is None else least_prompt
        return Reservation(self, prompt_tokens, allotment, least)

    def allot(self, tokens: int, prompt_tokens: int = 0) -> Allotment | None:
        """Set aside what a request may cost, long before it is sent; return None if the budget is too small.

        The order of allotments decides which requests are not sent, whichever task runs first.
        """
        if not self.allows(tokens, prompt_tokens):
            return None
        self._allotted += 1
        self.commit(tokens, prompt_tokens)
        return Allotment(self, tokens, prompt_tokens)

    def give_back(self, allotment: Allotment) -> None:
        """Return an allotment to the budget."""
        self._allotted -= 1
        self.commit(-allotment.tokens, -allotment.prompt_tokens)

    def allows(self, tokens: int, prompt_tokens: int = 0, *, requests: int = 1) -> bool:
        """Return whether more requests may be sent, with these tokens in total, besides those allotted."""
        limit = self._budget.requests
        sent = self.requests + self.cached_responses + self._allotted + requests
        enough = limit is None or sent <= limit
        return enough and tokens <= self.tokens_left and tokens + prompt_tokens <= self.total_left

    def commit(self, tokens: int, prompt_tokens: int = 0) -> None:
        """Count tokens as spent or reserved; negative numbers undo that."""
        self._committed += tokens
        self._committed_prompt += prompt_tokens


class Allotment:
    """The part of a budget set aside for a request until it makes its reservation."""

    def __init__(self, meter: UsageMeter, tokens: int, prompt_tokens: int) -> None:
        self._meter: UsageMeter | None = meter
        self.tokens = tokens
        self.prompt_tokens = prompt_tokens

    def release(self) -> None:
        """Return it to the budget; further calls do nothing."""
        if self._meter is not None:
            self._meter.give_back(self)
            self._meter = None


class Reservation:
    """The maximum cost of one exchange's requests, until the true cost is known."""

    def __init__(
        self,
        meter: UsageMeter,
        prompt_tokens: int = 0,
        allotment: Allotment | None = None,
        least_prompt: int = 0,
    ) -> None:
        self._meter = meter
        self._prompt_tokens = prompt_tokens
        self._least_prompt = least_prompt
        self._allotment = allotment
        self._responded = 0
        self._responded_prompt = 0
        self._settled: list[Callable[[int], None]] = []

    def cost(self, tokens: int) -> int:
        """Return the maximum cost of a request, prompt and generated tokens, given the generated ones."""
        return tokens + self._prompt(tokens)

    def least_cost(self, tokens: int) -> int:
        """Return what a request costs at least if all its tokens are generated."""
        return tokens + min(self._least_prompt, self._prompt(tokens))

    def allows(self, tokens: int) -> bool:
        """Return whether `reserve` would succeed."""
        return self._meter.allows(tokens, self._prompt(tokens))

    def reserve(self, tokens: int) -> None:
        """Reserve the maximum cost of a request before it is sent.

        Args:
            tokens: maximum number of generated tokens; 0: the request costs no tokens at all.

        Raises:
            BudgetExhausted: the budget does not allow the request.
        """
        if self._allotment is not None:
            self._allotment.release()
        if not self.allows(tokens):
            raise BudgetExhausted("the search has used up its budget")
        self._meter.commit(tokens, self._prompt(tokens))

    def refund(self, tokens: int) -> None:
        """Release the reservation of a request that certainly cost nothing."""
        self._meter.commit(-tokens, -self._prompt(tokens))

    def responded(self, tokens: int, settled: Callable[[int], None] | None = None) -> None:
        """Note the response to a request that reserved `tokens`; `settle` sets its true cost.

        Args:
            tokens: that were reserved.
            settled: if given, called with the true cost, prompt and generated tokens. Of an exchange of
                several requests it is known in total only; the last one has all of it.
        """
        self._responded += tokens
        self._responded_prompt += self._prompt(tokens)
        if settled is not None:
            self._settled.append(settled)

    def settle(self, generated: int, prompt_tokens: int = 0) -> None:
        """Replace the reservations of all requests with a response by their true cost."""
        # Without the server's count, the prompt has cost what was reserved.
        cost = generated + (prompt_tokens or self._responded_prompt)
        for settled in reversed(self._settled):
            settled(cost)
            cost = 0
        self._settled.clear()
        self._meter.commit(generated - self._responded, prompt_tokens - self._responded_prompt)
        self._responded = self._responded_prompt = 0

    def _prompt(self, tokens: int) -> int:
        return self._prompt_tokens if tokens else 0
