"""Metropolis-Hastings for p^alpha: where a text may be cut, and when a proposal is accepted.

A move from the text x draws a position t uniformly among those of x, keeps the first t tokens and
samples the rest anew from the proposal q, up to the same limit or its end. It is accepted with

    min(1, p(x')^alpha q(x_t.. | x_<t) |x|  /  (p(x)^alpha q(x'_t.. | x_<t) |x'|))

where |x| is the number of positions of x: the way there draws t with 1 / |x|, the way back with
1 / |x'|, and these differ where one text ends earlier than the other. The move back cuts at the same
t, so detailed balance holds for each t by itself and hence for their mixture, although a text may be
reached by more than one t.

Source: Karan and Du 2025, "Reasoning with Sampling" (arXiv 2510.14901), algorithm 1, with its texts
of one length; Hastings 1970, "Monte Carlo sampling methods using Markov chains".

Logarithms are natural (nats), and of the tokens behind t only: what is in front is the same in both.
"""

from __future__ import annotations

import math

from trio_beam.core.beam import Beam


def positions(beam: Beam) -> int:
    """Count the places where a text can be cut: in front of each of its tokens.

    An end that the server did not report as a token can be sampled anew like one. It has no
    log-probability, so it counts in p^alpha with the probability that the proposal gives it.
    """
    return beam.length + _ends_silently(beam)


def _ends_silently(beam: Beam) -> bool:
    if not beam.finished or beam.trim or beam.continuation is None:
        return False  # it goes on, or a stop string ended it
    if not len(beam.continuation):
        return True
    # Servers that report no end make beams that are not exact, and an end adds nothing to the text.
    return not beam.exact and beam.continuation.tokens[-1].data != b""


def acceptance(old: Beam, new: Beam, position: int, alpha: float) -> float:
    """Return the probability, from 0 to 1, with which `new` replaces `old`.

    Args:
        old: the text as it stands.
        new: the same up to `position`, and sampled from there on.
        position: the number of tokens that were kept.
        alpha: the exponent.
    """
    if not position < min(positions(old), positions(new)):
        return 0.0  # there is no way back: the position would never be drawn
    wanted, sampled = _logprobs(old, position)
    wanted_new, sampled_new = _logprobs(new, position)
    if wanted == -math.inf:
        return 1.0  # a text of probability 0 never stays
    if wanted_new == -math.inf:
        return 0.0
    ratio = alpha * (wanted_new - wanted) - (sampled_new - sampled)
    ratio += math.log(positions(old)) - math.log(positions(new))
    return math.exp(min(ratio, 0.0))


def _logprobs(beam: Beam, position: int) -> tuple[float, float]:
    """Return log p and log q of the tokens from a position on."""
    wanted: list[float] = []
    sampled: list[float] = []
    node: Beam | None = beam
    while node is not None and node.continuation is not None and node.length > position:
        block = node.continuation
        first = max(0, position - (node.length - len(block)))
        values = [token.logprob for token in block.tokens[first:]]
        wanted += values
        sampled += values if block.proposal is None else block.proposal[first:]
        node = node.parent
    return math.fsum(wanted), math.fsum(sampled)
