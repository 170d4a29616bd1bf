"""How probable a token was at the temperature that it was sampled at, from what a server shows of it.

At temperature T a token of probability p is sampled with probability q = p^(1/T) / Z, where Z is the sum
of p^(1/T) over the whole vocabulary. A server shows the most probable tokens. The others have what is left
of the probability, and none of them more than the least that is shown, m: with the rest R, below T = 1,

    0 <= their part of Z <= R m^(1/T - 1)

and above T = 1 it is at least so much. The middle of the two bounds is prepared, or the one bound that
there is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

from trio_beam.core.block import Continuation, Token
from trio_beam.dialects.common.sampled_tokens import NO_LOGPROB
from trio_beam.errors import LogprobsUnavailable

#: As many alternatives as most servers show.
SHOWN = 20


def log_q(token: Token, temperature: float) -> float:
    """The log-probability (nats) of a token at a temperature above 0, from its alternatives.

    Raises:
        LogprobsUnavailable: it has none.
    """
    if not token.top or min(other.logprob for other in token.top) < NO_LOGPROB:
        raise LogprobsUnavailable(
            "the server shows no alternatives beside a token, so that nobody can say how probable it"
            f" was at temperature {temperature:g}; sample at 1"
        )
    if token.logprob < NO_LOGPROB:
        raise LogprobsUnavailable("the server shows no log-probability of a token that it sampled")
    # Some servers give the sampled token an id, and its alternatives none.
    with_ids = all(other.id is not None for other in (token, *token.top))
    shown = {other.id if with_ids else other.data: other.logprob for other in (*token.top, token)}
    power = 1 / temperature
    # Everything relative to the most probable, so that no power of it is lost.
    highest = max(shown.values())
    known = math.fsum(math.exp(power * (value - highest)) for value in shown.values())
    rest = max(0.0, 1 - math.fsum(map(math.exp, shown.values())))
    # Not the sampled one, which may be less probable than many that are hidden.
    least = min(other.logprob for other in token.top)
    share = 0.5 if power > 1 else 1.0
    hidden = rest * math.exp((power - 1) * (least - highest) - highest)
    return min(0.0, power * (token.logprob - highest) - math.log(known + share * hidden))


def bounded(block: Continuation, temperature: float, shown: int) -> Continuation:
    """A block with what its tokens' log-probabilities were at a temperature; inexact.

    Args:
        block: its tokens have alternatives.
        temperature: that it was sampled at.
        shown: how many of the alternatives its tokens are to keep.
    """
    values = [log_q(token, temperature) for token in block.tokens]
    return attrs.evolve(fewer_shown(block, shown), proposal=values, exact=False)


def fewer_shown(block: Continuation, shown: int) -> Continuation:
    """A block whose tokens show fewer alternatives."""
    tokens = tuple([token._replace(top=token.top[:shown]) for token in block.tokens])
    return attrs.evolve(block, tokens=tokens)


def reported(
    block: Continuation, ids: Sequence[int], probabilities: Sequence[float], temperature: float
) -> tuple[list[float], bool]:
    """Log-probabilities (nats) of a block's tokens as the server has reported them for the same seed.

    From the first token that it sampled otherwise then, they are bounded.

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
