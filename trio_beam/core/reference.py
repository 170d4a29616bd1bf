"""The reference of a conditional search: a text that one of the particles follows.

The particle is given the reference's next tokens where the others are sampled, and is never dropped. Drawing
the answer by weight is then a step of a Markov chain from the reference, which leaves the target invariant:
particle Gibbs (Andrieu, Doucet and Holenstein 2010, "Particle Markov chain Monte Carlo methods").
"""

from __future__ import annotations

from trio_beam.core.beam import Beam
from trio_beam.core.block import LENGTH, Continuation, Token, known
from trio_beam.errors import ConfigError


def has_proposals(reference: Beam) -> bool:
    """Return whether each block knows its log-probability at the temperature it was sampled at."""
    blocks = [beam.continuation for beam in reference.lineage()]
    return all(block is None or block.proposal is not None for block in blocks)


def check_reference(reference: Beam, max_tokens: int, temperature: float) -> None:
    """Refuse a text that no particle of a search could have sampled.

    Args:
        reference: the text.
        max_tokens: maximum length of a text of the search, in tokens.
        temperature: at which the search samples.

    Raises:
        ConfigError: names the reason.
    """
    name = "reference"
    whole = reference.ended or reference.length == max_tokens
    if not whole or not 0 < reference.length <= max_tokens:
        bound = f"a text that has ended, or has max_tokens ({max_tokens}) tokens"
        raise ConfigError(name, bound, reference.length)
    if reference.forced:
        raise ConfigError(name, "a text without forced tokens", reference.text)
    if reference.logprob is None:
        raise ConfigError(name, "a text with log-probabilities", None)
    if temperature != 1 and not has_proposals(reference):
        bound = f"sampled at the proposal_temperature ({temperature:g}), or this 1"
        raise ConfigError(name, bound, reference.text)


def next_block(reference: Beam, start: int, count: int) -> Continuation:
    """Return at most `count` tokens of the reference from `start` on, as if they had just been sampled."""
    tokens: list[Token] = []
    proposal: list[float] = []
    weighted = False
    blocks = [beam.continuation for beam in reference.lineage()]
    for block in blocks:
        if block is not None:
            tokens += block.tokens
            weighted = weighted or block.proposal is not None
            proposal += block.proposal or [token.logprob for token in block.tokens]
    part = tuple(tokens[start : start + count])
    last = blocks[-1] if blocks else None
    ends = start + count >= len(tokens) and last is not None
    return Continuation(
        tokens=part,
        data=b"".join(token.data for token in part),
        finish_reason=last.finish_reason if ends and last is not None else LENGTH,
        exact=reference.exact,
        logprob=sum(known(token.logprob) for token in part),
        generated=0,
        proposal=proposal[start : start + count] if weighted else None,
    )
