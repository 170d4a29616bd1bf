"""Estimate a token's log-probability at its sampling temperature from the alternatives a server sends.

At temperature T a token of probability p is sampled with probability q = p^(1/T) / Z, where Z is the sum
of p^(1/T) over the vocabulary. A server sends the K most probable tokens. The hidden ones share the
remaining probability R, and none exceeds m, the least probability sent. Ranked tokens of language models
fall off about as a power of their rank (Zipf's law), so the token of rank i > K is taken to have
m (i / K)^-e, with the e at which these sum to R. At T = 1 the estimate is thus exact. Below it, Z is also
bounded: the hidden part lies between 0 and R m^(1/T - 1).
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
#: Assumed size of the vocabulary: servers do not tell it, and only temperatures above 1 depend on it.
VOCABULARY = 100_000
_STEEPEST = 1e6


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
    hidden = _hidden_share(rest * math.exp(-lowest), len(token.top), power)
    hidden *= math.exp(power * (lowest - highest))
    return min(0.0, power * (token.logprob - highest) - math.log(known + hidden))


def _hidden_share(rest: float, count: int, power: float) -> float:
    """Return the sum of p^power over the hidden tokens, in units of m^power.

    Args:
        rest: sum of their p, in units of m.
        count: K, the number of tokens sent.
        power: 1 / T.
    """
    if rest <= 0:
        return 0.0
    low, high = 0.0, 1.0
    if _tail(low, count) <= rest:  # flatter than any falling tail: all of them as probable as m
        return rest
    while _tail(high, count) > rest and high < _STEEPEST:
        high *= 2
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if _tail(middle, count) > rest else (low, middle)
    # What the bisection and a tail of less than one token leave of the sum at power 1.
    scale = rest / _tail(high, count)
    return scale * _tail(high * power, count)


def _tail(exponent: float, count: int) -> float:
    """Return the sum of (i / K)^-exponent over the ranks behind K, by an integral."""
    longest = math.log(max(VOCABULARY, 2 * count) / count)
    steep = 1 - exponent
    if abs(steep) < 1e-9:
        return count * longest
    return count * math.expm1(steep * longest) / steep


def estimated(block: Continuation, temperature: float, shown: int) -> Continuation:
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
