"""Compare a block sampled alone with the same block sampled beside other requests. Pure.

A server computes the requests that it has at the same time as one batch, and many kernels round differently
for each size of a batch. The log-probabilities of a text then depend on what else the server does, and a
sample whose random number lies near the border between two tokens comes out differently.
"""

from __future__ import annotations

from collections.abc import Sequence

from trio_beam.core.block import Continuation

#: Nats below which numbers count as equal: servers print them with four to six digits.
PRINTED = 2e-3


def difference(alone: Continuation, beside: Continuation) -> float | None:
    """Return the largest difference of a log-probability (nats) that two runs of a request share.

    They share the tokens before the first one that differs, and the alternatives up to it.

    Returns:
        The difference, or None if they show no log-probability in common.
    """
    found: list[float] = []
    for one, other in zip(alone.tokens, beside.tokens, strict=False):
        before, now = (
            {token.key: token.logprob for token in (*shown.top, shown)} for shown in (one, other)
        )
        found += [abs(before[key] - now[key]) for key in before.keys() & now.keys()]
        if one.key != other.key:
            break
    return max(found, default=None)


def largest(alone: Continuation, beside: Sequence[Continuation]) -> float | None:
    """Return the largest `difference` of several runs; None if nothing can be compared."""
    found = [difference(alone, one) for one in beside]
    return max((value for value in found if value is not None), default=None)
