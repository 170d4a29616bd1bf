"""Count what a search costs while it runs, and set aside what its requests may cost before they are sent."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import TypeAlias

from trio_beam.core.price import ZERO, Price, TokenCounts
from trio_beam.core.usage import Budget, Usage
from trio_beam.errors import BudgetExhausted, ConfigError

#: Completion tokens, prompt tokens and US dollars.
Reserved: TypeAlias = tuple[int, int, Decimal]
NOTHING_RESERVED: Reserved = (0, 0, ZERO)
_INFINITE = Decimal("Infinity")
NO_PRICE = (
    "None, since no price of the model is known: give its prices (prices=Prices(input=..., output=...) at the"
    " Endpoint, --price-input and --price-output at the command line), or limit tokens instead"
)


class UsageMeter:
    """Counts a search's requests and tokens as they occur, within its budget.

    Attributes:
        prompt_length: length of the search's prompt in tokens, or an upper bound; 0 while unknown.
        price: that of the searched model; None if unknown.
    """

    def __init__(self, budget: Budget | None = None) -> None:
        self.price: Price | None = None
        self.prompt_tokens = 0
        self.cached_tokens: int | None = None
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
        self._committed_cost = ZERO
        self._cost: Decimal | None = None
        self._uncertain = ZERO
        self._unpriced = 0

    def usage(self) -> Usage:
        """Return the current counts."""
        return Usage(
            prompt_tokens=self.prompt_tokens,
            cached_tokens=self.cached_tokens,
            completion_tokens=self.completion_tokens,
            discarded_tokens=self.discarded_tokens,
            reasoning_tokens=self.reasoning_tokens,
            requests=self.requests,
            retries=self.retries,
            cancelled=self.cancelled,
            cost=None if self._cost is None else float(self._cost),
            uncertain_cost=float(self._uncertain),
            unpriced=self._unpriced,
            cached_responses=self.cached_responses,
        )

    @property
    def reserved(self) -> Reserved:
        """Return what counts against the budget: spent, or possibly spent."""
        return self._committed, self._committed_prompt, self._committed_cost

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
    def cost_left(self) -> Decimal:
        """US dollars left; infinite without a limit."""
        limit = self._budget.cost
        return _INFINITE if limit is None else max(ZERO, limit - self._committed_cost)

    def charge(self, cost: Decimal | None, *, uncertain: Decimal = ZERO) -> None:
        """Count the cost of a request, None if its price is not known; `uncertain`: its uncertain part."""
        if cost is None:
            self._unpriced += 1
            return
        self._cost = (self._cost or ZERO) + cost
        self._uncertain += uncertain

    @property
    def _completion(self) -> int:
        # An in-process model need not reserve; then only returned tokens are known.
        return max(self._committed, self.completion_tokens)

    def reservation(
        self,
        prompt_tokens: int = 0,
        allotment: Allotment | None = None,
        price: Price | None = None,
        purse: Purse | None = None,
        *,
        least_prompt: int | None = None,
    ) -> Reservation:
        """Return a reservation, to be made before requests are sent.

        Args:
            prompt_tokens: per request that reads the prompt, or an upper bound.
            allotment: for the first of the requests.
            price: of the model that is asked; None if unknown.
            purse: limits the cost of other searches as well; None: there is no such limit.
            least_prompt: what the prompt has at least, if `prompt_tokens` is only a bound.
        """
        least = prompt_tokens if least_prompt is None else least_prompt
        return Reservation(self, prompt_tokens, allotment, price, purse, least)

    def allot(
        self, tokens: int, prompt_tokens: int = 0, price: Price | None = None
    ) -> Allotment | None:
        """Set aside what a request may cost, long before it is sent; return None if the budget is too small.

        The order of allotments decides which requests are not sent, whichever task runs first.
        """
        cost = self.bound(tokens, prompt_tokens, price)
        if not self.has(tokens, prompt_tokens, cost):
            return None
        self._allotted += 1
        self.commit(tokens, prompt_tokens, cost)
        return Allotment(self, tokens, prompt_tokens, cost)

    def give_back(self, allotment: Allotment) -> None:
        """Return an allotment to the budget."""
        self._allotted -= 1
        self.commit(-allotment.tokens, -allotment.prompt_tokens, -allotment.cost)

    def allows(self, tokens: int, prompt_tokens: int = 0, *, requests: int = 1) -> bool:
        """Return whether the searched model may be sent more requests, with these tokens in total."""
        cost = ZERO
        if requests:
            each = (-(-tokens // requests), -(-prompt_tokens // requests))
            cost = requests * self.bound(*each, self.price)
        return self.has(tokens, prompt_tokens, cost, requests=requests)

    def has(self, tokens: int, prompt_tokens: int, cost: Decimal, *, requests: int = 1) -> bool:
        """Return whether that much is left of the budget, besides what is allotted."""
        limit = self._budget.requests
        sent = self.requests + self.cached_responses + self._allotted + requests
        enough = limit is None or sent <= limit
        tokens_enough = tokens <= self.tokens_left and tokens + prompt_tokens <= self.total_left
        return enough and tokens_enough and cost <= self.cost_left

    def bound(self, tokens: int, prompt_tokens: int, price: Price | None) -> Decimal:
        """Return the most that a request may cost; 0 without a budget of cost, or a price."""
        if price is None or not self.limits_cost:
            return ZERO
        return price.most(prompt_tokens, tokens)

    @property
    def limits_cost(self) -> bool:
        """Whether there is a budget of cost."""
        return self._budget.cost is not None

    def require_price(self, price: Price | None) -> None:
        """Refuse a budget of cost for requests whose price is not known.

        Raises:
            ConfigError: names what to set.
        """
        if self._budget.cost is not None and price is None:
            raise ConfigError("max_cost", NO_PRICE, float(self._budget.cost))

    def commit(self, tokens: int, prompt_tokens: int = 0, cost: Decimal = ZERO) -> None:
        """Count tokens and their cost as spent or reserved; negative numbers undo that."""
        self._committed += tokens
        self._committed_prompt += prompt_tokens
        self._committed_cost += cost


class Purse:
    """A limit of money on all searches of an endpoint together.

    Attributes:
        limit: in US dollars; None: no limit.
        refused: whether a request was refused for it.
    """

    def __init__(self, limit: Decimal | None = None) -> None:
        self.limit = limit
        self.refused = False
        self._committed = ZERO

    def has(self, cost: Decimal) -> bool:
        """Return whether that much is left."""
        return self.limit is None or self._committed + cost <= self.limit

    def commit(self, cost: Decimal) -> None:
        """Count a cost as spent or reserved; a negative one undoes that."""
        self._committed += cost


class Allotment:
    """The part of a budget set aside for a request until it makes its reservation."""

    def __init__(self, meter: UsageMeter, tokens: int, prompt_tokens: int, cost: Decimal) -> None:
        self._meter: UsageMeter | None = meter
        self.tokens = tokens
        self.prompt_tokens = prompt_tokens
        self.cost = cost

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
        price: Price | None = None,
        purse: Purse | None = None,
        least_prompt: int = 0,
    ) -> None:
        self._meter = meter
        self._purse = purse or Purse()
        self._prompt_tokens = prompt_tokens
        self._least_prompt = least_prompt
        self._allotment = allotment
        self._price = price
        self._responses: list[int] = []  # what each with a response had reserved, in tokens
        self._free: list[int] = []  # likewise, of those from a cache
        self._settled: list[Callable[[int], None]] = []

    def cost(self, tokens: int) -> int:
        """Return the maximum cost of a request, prompt and generated tokens, given the generated ones."""
        return tokens + self._prompt(tokens)

    def least_cost(self, tokens: int) -> int:
        """Return what a request costs at least if all its tokens are generated."""
        return tokens + min(self._least_prompt, self._prompt(tokens))

    def allows(self, tokens: int) -> bool:
        """Return whether `reserve` would succeed."""
        cost = self._bound(tokens)
        return self._meter.has(tokens, self._prompt(tokens), cost) and self._purse.has(cost)

    def reserve(self, tokens: int) -> None:
        """Reserve the maximum cost of a request before it is sent.

        Args:
            tokens: maximum number of generated tokens; 0: the request costs no tokens at all.

        Raises:
            BudgetExhausted: the budget does not allow the request.
            ConfigError: there is a budget of cost, but no price.
        """
        if self._allotment is not None:
            self._allotment.release()
        if tokens:
            self._meter.require_price(self._price)
        if not self.allows(tokens):
            self._purse.refused |= not self._purse.has(self._bound(tokens))
            raise BudgetExhausted("the search has used up its budget")
        self._commit(tokens, self._prompt(tokens), self._bound(tokens))

    def refund(self, tokens: int) -> None:
        """Release the reservation of a request that certainly cost nothing."""
        self._commit(-tokens, -self._prompt(tokens), -self._bound(tokens))
        self._charge_nothing()

    def lost(self, tokens: int) -> None:
        """Charge a request without a response for the most that it may have cost."""
        if tokens:
            price, prompt = self._price, self._prompt(tokens)
            cost = None if price is None else price.most(prompt, tokens)
            self._meter.charge(cost, uncertain=cost or ZERO)

    def responded(
        self, tokens: int, settled: Callable[[int], None] | None = None, *, free: bool = False
    ) -> None:
        """Note the response to a request that reserved `tokens`; `settle` sets its true cost.

        Args:
            tokens: that were reserved.
            settled: if given, called with the true cost, prompt and generated tokens. Of an exchange of
                several requests it is known in total only; the last one has all of it.
            free: whether it came from a cache, and is not charged for.
        """
        (self._free if free else self._responses).append(tokens)
        if settled is not None:
            self._settled.append(settled)

    def settle(
        self,
        generated: int,
        prompt_tokens: int = 0,
        *,
        charged: TokenCounts | None = None,
        uncertain: bool = False,
    ) -> None:
        """Replace the reservations of all requests with a response by their true cost.

        Args:
            generated: number of tokens generated, as the search counts them.
            prompt_tokens: by the server's count.
            charged: what is charged for, if that is something else. If some responses are from a cache, that
                of all is an upper bound.
            uncertain: whether that is an estimate.
        """
        paid, free = [*self._responses], [*self._free]
        self._responses.clear()
        self._free.clear()
        if not paid and not free:
            return
        counts = charged or TokenCounts(prompt=prompt_tokens, completion=generated)
        prompts = sum(map(self._prompt, (*paid, *free)))
        bounds = sum(map(self._bound, (*paid, *free)), ZERO)
        # Without the server's count, the prompt has cost what was reserved.
        tokens = generated + (prompt_tokens or prompts)
        for settled in reversed(self._settled):
            settled(tokens)
            tokens = 0
        self._settled.clear()
        cost = None if self._price is None else self._price.cost(counts)
        if not paid:
            cost = ZERO
        self._commit(
            generated - sum(paid) - sum(free),
            prompt_tokens - prompts,
            (cost or ZERO) - bounds if self._limited else ZERO,
        )
        if paid:
            unsure = uncertain or bool(free)
            self._meter.charge(cost, uncertain=(cost or ZERO) if unsure else ZERO)
        else:
            self._charge_nothing()

    def close(self) -> None:
        """Charge responses of which nothing came: as lost, unless `settle` has done it."""
        for tokens in self._responses:
            self.lost(tokens)
        self._commit(0, 0, -sum(map(self._bound, self._free), ZERO))
        self._responses.clear()
        self._free.clear()

    def _charge_nothing(self) -> None:
        """Count a request that cost nothing, which is known where a price is."""
        if self._price is not None:
            self._meter.charge(ZERO)

    def _prompt(self, tokens: int) -> int:
        return self._prompt_tokens if tokens else 0

    def _commit(self, tokens: int, prompt_tokens: int, cost: Decimal) -> None:
        self._meter.commit(tokens, prompt_tokens, cost)
        self._purse.commit(cost)

    @property
    def _limited(self) -> bool:
        return self._meter.limits_cost or self._purse.limit is not None

    def _bound(self, tokens: int) -> Decimal:
        """Return the most that a request may cost, which only a limit needs."""
        if not tokens or self._price is None or not self._limited:
            return ZERO
        return self._price.most(self._prompt_tokens, tokens)
