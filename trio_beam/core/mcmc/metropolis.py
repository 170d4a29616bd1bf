"""Metropolis-Hastings for p^alpha: where to cut a text, and when to accept a proposal.

A move from the text x draws a position t uniformly among those of x, keeps the first t tokens and
resamples the rest from the proposal q, up to the same limit or its end. It is accepted with probability

    min(1, p(x')^alpha q(x_t.. | x_<t) |x|  /  (p(x)^alpha q(x'_t.. | x_<t) |x'|))

times exp(beta (r(x') - r(x))) if texts have rewards r,

where |x| is the number of positions of x: the move draws t with probability 1 / |x|, its reverse with
1 / |x'|, and these differ if one text ends earlier than the other. The reverse move cuts at the same t,
so detailed balance holds for each t and hence for their mixture, although several t may lead to the same
text.

Source: Karan and Du 2025, "Reasoning with Sampling" (arXiv 2510.14901), algorithm 1, whose texts have
equal lengths; Hastings 1970, "Monte Carlo sampling methods using Markov chains".

Logarithms are natural (nats) and cover only the tokens after t, since those before are the same in both.
"""

from __future__ import annotations

import math

from trio_beam.core.beam import Beam


def positions(beam: Beam) -> int:
    """Count the positions where a text can be cut: before each of its tokens.

    An end of text that the server did not report as a token can be resampled like one. It has no
    log-probability, so it counts in p^alpha with its probability under the proposal.
    """
    return beam.length + _ends_silently(beam)


def _ends_silently(beam: Beam) -> bool:
    if not beam.finished or beam.trim or beam.continuation is None:
        return False  # it goes on, or a stop string ended it
    if not len(beam.continuation):
        return True
    # Without a reported end the beam is inexact, and its last token adds text.
    return not beam.exact and beam.continuation.tokens[-1].data != b""


def acceptance(old: Beam, new: Beam, position: int, alpha: float, beta: float = 0.0) -> float:
    """Return the probability, from 0 to 1, with which `new` replaces `old`.

    Args:
        old: the current text, with its reward.
        new: equal to `old` up to `position`, resampled from there, with its reward.
        position: number of tokens kept.
        alpha: the exponent.
        beta: weight of the rewards.
    """
    if not position < min(positions(old), positions(new)):
        return 0.0  # the reverse move is impossible: it would never draw this position
    wanted, sampled = _logprobs(old, position)
    wanted_new, sampled_new = _logprobs(new, position)
    if -math.inf in (wanted, old.reward):
        return 1.0  # never keep a text of probability 0
    if -math.inf in (wanted_new, new.reward):
        return 0.0
    ratio = beta * (new.reward - old.reward)
    ratio += alpha * (wanted_new - wanted) - (sampled_new - sampled)
    ratio += math.log(positions(old)) - math.log(positions(new))
    return math.exp(min(ratio, 0.0))


def _logprobs(beam: Beam, position: int) -> tuple[float, float]:
    """Return log p and log q of the tokens from `position` on."""
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
