"""Confidence of a text while it is generated: DeepConf (Fu et al. 2025, arXiv 2508.15260). Pure.

The confidence of a token is the negative mean log-probability of the k most probable tokens at its position:
the more peaked the distribution, the less probable are the others. Without alternatives it is the token's own
log-probability. The confidence of a text is the lowest mean over a window of consecutive tokens ("lowest
group confidence"), that of a text shorter than the window the mean over all of it. Higher is more confident.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence

import attrs

from trio_beam.core.block import Token
from trio_beam.core.validation import documented, integer, number

#: Nats by which the sum over a moving window may be off.
_ROUNDING = 1e-9


@documented
@attrs.frozen(kw_only=True)
class Confidence:
    """Ends texts while they are generated, as soon as their confidence falls below a threshold (DeepConf).

    The first samples set the threshold and run to their end. A text below it, one of the first too, casts no
    vote.
    """

    warm_up: int = integer(
        16, minimum=1, help="Number of first samples, which set the threshold and run to their end."
    )
    keep: float = number(
        0.9,
        above=0,
        maximum=1,
        help="Share of the first samples that the threshold lets pass (DeepConf-high: 0.9, -low: 0.1).",
    )
    window: int = integer(
        2048,
        minimum=1,
        unit="tokens",
        help="Length over which the confidence of tokens is averaged.",
    )
    top: int = integer(
        20,
        minimum=0,
        help="Number of most probable tokens, of the model's own distribution, that make the confidence of a"
        " token. 0: the log-probability of the sampled token.",
    )

    def threshold(self, confidences: Sequence[float]) -> float:
        """Return the threshold, given the confidences of the first samples (those that did not fail)."""
        return quantile(sorted(confidences), 1 - self.keep) if confidences else -math.inf

    def below(self, threshold: float) -> ConfidenceLimit:
        """Return the limit for further samples."""
        return ConfidenceLimit(window=self.window, top=self.top, threshold=threshold)

    def of(self, tokens: Iterable[Token]) -> float:
        """Return the confidence of a text (nats)."""
        group = Group(self.window)
        for token in tokens:
            group.add(of_token(token, self.top))
        return group.lowest


@attrs.frozen(kw_only=True)
class ConfidenceLimit:
    """The confidence that a text has to keep.

    Attributes:
        window: number of tokens over which it is averaged.
        top: number of most probable tokens per position; 0: the sampled token's own log-probability.
        threshold: in nats.
    """

    window: int
    top: int
    threshold: float

    def excludes(self, confidence: float) -> bool:
        """Return whether a confidence is below the threshold, not only by rounding."""
        return confidence < self.threshold - _ROUNDING

    def end(self, tokens: Iterable[Token]) -> int | None:
        """Return how many tokens there are when the confidence falls below the threshold, or None."""
        group = Group(self.window)
        for count, token in enumerate(tokens, 1):
            if self.excludes(group.add(of_token(token, self.top))):
                return count
        return None


class Group:
    """The mean over the last tokens, as they come.

    Args:
        window: number of tokens.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._values: deque[float] = deque()
        self._sum = 0.0
        self._lowest = math.inf

    def add(self, value: float | None) -> float:
        """Add a token's confidence; return the mean over the window, infinity if it is not full.

        A token whose confidence is unknown is left out.
        """
        if value is None:
            return math.inf
        self._values.append(value)
        self._sum += value
        if len(self._values) > self._window:
            self._sum -= self._values.popleft()
        if len(self._values) < self._window:
            return math.inf
        mean = self._sum / self._window
        self._lowest = min(self._lowest, mean)
        return mean

    @property
    def lowest(self) -> float:
        """The lowest mean; that of all tokens if there are fewer than the window; infinity without any."""
        if self._values and self._lowest == math.inf:
            return self._sum / len(self._values)
        return self._lowest


def of_token(token: Token, top: int) -> float | None:
    """Return the confidence of a token (nats), None if it is unknown."""
    return of_logprobs(token.logprob, (other.logprob for other in token.top), top)


def of_logprobs(
    logprob: float | None, alternatives: Iterable[float | None], top: int
) -> float | None:
    """Return the confidence of a token (nats), None if it is unknown.

    Args:
        logprob: of the sampled token; None if unknown.
        alternatives: of the most probable tokens; values that are no finite numbers are left out.
        top: number of the most probable ones that count; 0: only the sampled token does.
    """
    if not top:
        return logprob
    known = [value for value in alternatives if value is not None and math.isfinite(value)]
    best = sorted(known, reverse=True)[:top]
    return -math.fsum(best) / len(best) if best else None


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value that a share of the values lies below, interpolated linearly.

    Args:
        ordered: at least one value, in ascending order.
        share: from 0 to 1.
    """
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
