"""What a search has cost, and what it may still cost."""

from __future__ import annotations

import attrs

from trio_beam.errors import BudgetExhausted


@attrs.frozen(kw_only=True)
class Usage:
    """What a search has cost, failed and cancelled requests included.

    Attributes:
        prompt_tokens: sum over all answers of what the server counted as prompt (0 where it
            does not count).
        completion_tokens: tokens generated, counted from the continuations themselves.
        requests: requests sent, retries and hedges included.
        retries: how many of them repeated one that had failed.
        cancelled: how many of them were given up before their answer was whole.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    requests: int = 0
    retries: int = 0
    cancelled: int = 0


class Ledger:
    """Where one search's requests are written down while they happen, within its budget.

    Args:
        max_tokens: most tokens that may be generated; None: no limit.
        max_requests: most requests that may be sent; None: no limit.
    """

    def __init__(self, max_tokens: int | None = None, max_requests: int | None = None) -> None:
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.requests = 0
        self.retries = 0
        self.cancelled = 0
        self._max_tokens = max_tokens
        self._max_requests = max_requests
        self._committed = 0

    def usage(self) -> Usage:
        """What stands written now."""
        return Usage(
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            requests=self.requests,
            retries=self.retries,
            cancelled=self.cancelled,
        )

    @property
    def tokens_left(self) -> int | None:
        """Tokens that may still be asked for; None: no limit."""
        if self._max_tokens is None:
            return None
        # A model in this process need not reserve; then what came back is all that is known.
        return max(0, self._max_tokens - max(self._committed, self.completion_tokens))

    def reservation(self) -> Reservation:
        """A part of the budget, to be reserved before a request is sent."""
        return Reservation(self)

    def allows(self, tokens: int) -> bool:
        """Whether another request for so many tokens may be sent."""
        left = self.tokens_left
        requests = self._max_requests is None or self.requests < self._max_requests
        return requests and (left is None or tokens <= left)

    def commit(self, tokens: int) -> None:
        """Count tokens as spent or about to be (negative: no longer)."""
        self._committed += tokens


class Reservation:
    """What the requests of one exchange may generate at most, until it is known what they did."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._answered = 0

    def allows(self, tokens: int) -> bool:
        """Whether `reserve` would succeed."""
        return self._ledger.allows(tokens)

    def reserve(self, tokens: int) -> None:
        """Set aside the most that a request may generate, before it is sent.

        Raises:
            BudgetExhausted: the search may not send it.
        """
        if not self._ledger.allows(tokens):
            raise BudgetExhausted("the search has used up its budget")
        self._ledger.commit(tokens)

    def refund(self, tokens: int) -> None:
        """Give back what a request surely did not generate."""
        self._ledger.commit(-tokens)

    def answered(self, tokens: int) -> None:
        """A request was answered that had reserved so many; `settle` says what it generated."""
        self._answered += tokens

    def settle(self, generated: int) -> None:
        """What the requests that were answered have generated together."""
        self.refund(self._answered - generated)
        self._answered = 0
