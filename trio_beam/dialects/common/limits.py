"""What a server allows in one request, learnt from its refusals, so that the lesson is paid once."""

from __future__ import annotations

import re

from trio_beam.dialects.common.negotiation import mentions
from trio_beam.errors import RequestRejected

#: How servers call the field of the number of choices.
_N_NAMES = ("n", "n_cmpl", "best_of")
_ABOUT_LOGPROBS = re.compile(r"log_?probs", re.IGNORECASE)
_ABOUT_SIZE = re.compile(
    r"\d|max|at most|greater|exceed|between|less|limit|too (large|many)", re.IGNORECASE
)
#: A refusal of the type of a value: no smaller number would do.
_ABOUT_TYPE = re.compile(r"\b(bool|boolean|type|integer|int|string)\b", re.IGNORECASE)


class Limits:
    """The most that one request may ask for; None where nothing is known to be too much.

    Attributes:
        n: choices.
        logprobs: top log-probabilities a token.
    """

    def __init__(self, n: int | None = None, logprobs: int | None = None) -> None:
        self.n = n
        self.logprobs = logprobs

    def cap_n(self, n: int) -> int:
        """As many of `n` choices as one request may ask for."""
        return n if self.n is None else min(n, self.n)

    def cap_logprobs(self, count: int) -> int:
        """As many of `count` top log-probabilities as one request may ask for."""
        return count if self.logprobs is None else min(count, self.logprobs)

    def fewer(self, n: int) -> None:
        """The server sent only so many choices, where more were asked for."""
        self.n = n if self.n is None else min(self.n, n)

    def learn(self, refusal: RequestRejected, *, n: int, logprobs: int) -> bool:
        """Learn from a refusal of a request for so many; return whether a smaller one may do.

        The limit is the largest number in the server's own words that is smaller than what was
        asked for; else 1.
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
        if n > 1 and (named & {*_N_NAMES} or any(mentions(words, name) is not None for name in _N_NAMES)):
            self.fewer(_limit_in(words, n))
            return True
        return False


def _limit_in(message: str, asked: int) -> int:
    numbers = [int(digits) for digits in re.findall(r"(?<![\w.])\d+(?![\w.]*\d)", message)]
    return max([number for number in numbers if 0 < number < asked], default=1)
