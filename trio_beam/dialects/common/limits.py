"""Per-request limits of a server, learnt once from its refusals."""

from __future__ import annotations

import re

from trio_beam.dialects.common.negotiation import mentions
from trio_beam.errors import RequestRejected

#: How refusals refer to the number of choices.
_N_NAMES = ("n", "n_cmpl", "best_of")
_ABOUT_LOGPROBS = re.compile(r"log_?probs", re.IGNORECASE)
_ABOUT_SIZE = re.compile(
    r"\d|max|at most|greater|exceed|between|less|limit|too (large|many)", re.IGNORECASE
)
#: The refusal is about a value's type: a smaller number would not help.
_ABOUT_TYPE = re.compile(r"\b(bool|boolean|type|integer|int|string)\b", re.IGNORECASE)


class Limits:
    """Maximum that one request may ask for; None where no limit is known.

    Attributes:
        n: number of choices.
        logprobs: number of top log-probabilities per token.
    """

    def __init__(self, n: int | None = None, logprobs: int | None = None) -> None:
        self.n = n
        self.logprobs = logprobs

    def cap_n(self, n: int) -> int:
        """Return `n`, capped at the number of choices allowed per request."""
        return n if self.n is None else min(n, self.n)

    def cap_logprobs(self, count: int) -> int:
        """Return `count`, capped at the number of top log-probabilities allowed per request."""
        return count if self.logprobs is None else min(count, self.logprobs)

    def reduce_n(self, n: int) -> None:
        """Note that the server sent only `n` choices when asked for more."""
        self.n = n if self.n is None else min(self.n, n)

    def learn(self, refusal: RequestRejected, *, n: int, logprobs: int) -> bool:
        """Learn from a refused request; return whether a smaller one may succeed.

        The limit is the largest number in the server's message below the number requested, else 1.
        """
        if refusal.status not in (400, 422):
            return False
        words = refusal.message.removeprefix(f"HTTP {refusal.status}: ")
        named = {name.rpartition(".")[2] for name in refusal.fields}
        sized = _ABOUT_SIZE.search(words) and not _ABOUT_TYPE.search(words)
        if (
            logprobs > 1
            and sized
            and (_ABOUT_LOGPROBS.search(words) or named & {"logprobs", "top_logprobs"})
        ):
            self.logprobs = self.cap_logprobs(_limit_in(words, logprobs))
            return True
        about_n = any(mentions(words, name) is not None for name in _N_NAMES)
        if n > 1 and (about_n or named & {*_N_NAMES}):
            self.reduce_n(_limit_in(words, n))
            return True
        return False


def _limit_in(message: str, asked: int) -> int:
    numbers = [int(digits) for digits in re.findall(r"(?<![\w.])\d+(?![\w.]*\d)", message)]
    return max([number for number in numbers if 0 < number < asked], default=1)
