"""Bound a token's log-probability at its sampling temperature from the alternatives a server sends.

At temperature T a token of probability p is sampled with probability q = p^(1/T) / Z, where Z is the sum
of p^(1/T) over the vocabulary. A server sends the most probable tokens. The hidden ones share the
remaining probability R, and none exceeds m, the least probability sent. Hence, for T < 1,

    0 <= their part of Z <= R m^(1/T - 1)

and for T > 1 the right-hand side is a lower bound. The estimate is the middle of the two bounds, or the
single bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

from trio_beam.core.block import Continuation, Token
from trio_beam.dialects.common.sampled_tokens import NO_LOGPROB
from trio_beam.errors import LogprobsUnavailable

#: Number of alternatives that most servers allow.
SHOWN = 20


def log_q(token: Token, temperature: float) -> float:
    """Estimate a token's log-probability (nats) at a temperature above 0 from its alternatives.

    Raises:
        LogprobsUnavailable: it has no alternatives.
    """
    if not token.top or min(other.logprob for other in token.top) < NO_LOGPROB:
        raise LogprobsUnavailable(
            "the server sends no alternatives for a token, so its probability at temperature"
            f" {temperature:g} is unknown; sample at 1"
        )
    if token.logprob < NO_LOGPROB:
        raise LogprobsUnavailable("the server sends no log-probability for a token that it sampled")
    # Some servers give an id to the sampled token but not to its alternatives.
    with_ids = all(other.id is not None for other in (token, *token.top))
    shown = {other.id if with_ids else other.data: other.logprob for other in (*token.top, token)}
    power = 1 / temperature
    # Relative to the most probable token, to avoid underflow.
    highest = max(shown.values())
    known = math.fsum(math.exp(power * (value - highest)) for value in shown.values())
    rest = max(0.0, 1 - math.fsum(map(math.exp, shown.values())))
    # Excludes the sampled token, which may be less probable than many hidden ones.
    lowest = min(other.logprob for other in token.top)
    share = 0.5 if power > 1 else 1.0
    hidden = rest * math.exp((power - 1) * (lowest - highest) - highest)
    return min(0.0, power * (token.logprob - highest) - math.log(known + share * hidden))


def bounded(block: Continuation, temperature: float, shown: int) -> Continuation:
    """Return the block with estimated log-probabilities at its sampling temperature, marked inexact.

    Args:
        block: a block whose tokens have alternatives.
        temperature: at which it was sampled.
        shown: number of alternatives to keep per token.
    """
    values = [log_q(token, temperature) for token in block.tokens]
    return attrs.evolve(limit_top(block, shown), proposal=values, exact=False)


def limit_top(block: Continuation, shown: int) -> Continuation:
    """Return the block with at most `shown` alternatives per token."""
    tokens = tuple([token._replace(top=token.top[:shown]) for token in block.tokens])
    return attrs.evolve(block, tokens=tokens)


def reported(
    block: Continuation, ids: Sequence[int], probabilities: Sequence[float], temperature: float
) -> tuple[list[float], bool]:
    """Return the log-probabilities (nats) that the server reported when it repeated a block's seed.

    From the first token that differs in the repetition they are estimated.

    Returns:
        The log-probabilities, and whether all of them were reported.
    """
    values: list[float] = []
    same = len(probabilities) == len(ids)
    whole = True
    for place, token in enumerate(block.tokens):
        same = same and place < len(ids) and ids[place] == token.id
        if same and probabilities[place] > 0:
            values.append(min(0.0, math.log(probabilities[place])))
        else:
            values.append(log_q(token, temperature))
            whole = False
    return values, whole
