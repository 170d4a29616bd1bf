"""A language small enough to know everything about: a Markov chain over three letters and an end.

And searches over it without Trio: the machine's rounds are answered here.
"""

from __future__ import annotations

import functools
import itertools
import math
import random
from collections.abc import Iterator

from trio_beam.core.actions import Outcome, Round
from trio_beam.core.block import LENGTH, STOP, Continuation, Token
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.result import SearchResult
from trio_beam.core.state import BeamSearchState

LETTERS = "abc"
END = 3
#: After each letter (and, first, at the beginning): a, b, c, the end.
_NEXT = {
    None: (0.5, 0.3, 0.15, 0.05),
    0: (0.6, 0.1, 0.1, 0.2),
    1: (0.2, 0.2, 0.5, 0.1),
    2: (0.3, 0.3, 0.1, 0.3),
}
LENGTH_OF_TEXT = 4


@functools.cache
def logprobs(last: int | None, temperature: float = 1.0) -> list[float]:
    """The log-probabilities of the next token, in nats."""
    scaled = [math.log(p) / temperature for p in _NEXT[last]]
    total = math.log(sum(map(math.exp, scaled)))
    return [value - total for value in scaled]


def texts() -> Iterator[tuple[tuple[int, ...], float]]:
    """Every text of at most LENGTH_OF_TEXT tokens that ends or is full, with its log-probability."""
    for length in range(1, LENGTH_OF_TEXT + 1):
        for letters in itertools.product(range(END), repeat=length - 1):
            lasts = range(END + 1) if length == LENGTH_OF_TEXT else [END]
            for last in lasts:
                tokens = (*letters, last)
                before = (None, *tokens[:-1])
                total = sum(logprobs(a)[b] for a, b in zip(before, tokens, strict=True))
                yield tokens, total


def powers(alpha: float) -> dict[tuple[int, ...], float]:
    """p^alpha of every text, not normalised."""
    return {tokens: math.exp(alpha * total) for tokens, total in texts()}


def continuation(
    last: int | None, most: int, source: random.Random, temperature: float = 1.0
) -> Continuation:
    """A sample of at most so many tokens."""
    tokens: list[Token] = []
    proposal: list[float] = []
    reason = LENGTH
    while len(tokens) < most and reason == LENGTH:
        sampled = logprobs(last, temperature)
        (number,) = source.choices(range(END + 1), list(map(math.exp, sampled)))
        text = LETTERS[number] if number < END else ""
        tokens.append(Token(text, logprobs(last)[number], number, text.encode()))
        proposal.append(sampled[number])
        last, reason = number, STOP if number == END else LENGTH
    return Continuation(
        tokens=tuple(tokens),
        data=b"".join(token.data for token in tokens),
        finish_reason=reason,
        proposal=None if temperature == 1 else proposal,
    )


def search(config: BeamSearchConfig, seed: int) -> tuple[SearchResult, BeamSearchState]:
    """A whole search, every sample of its own."""
    source = random.Random(seed)
    state = BeamSearchState(config, seed)
    while isinstance(step := state.step(), Round):
        for expansion in step.expansions:
            tokens = expansion.beam.tokens
            last = tokens[-1].id if tokens else None
            blocks = {
                index: continuation(last, expansion.max_tokens, source, config.proposal_temperature)
                for index in range(expansion.n)
            }
            state.receive(Outcome(rank=expansion.rank, continuations=blocks))
    return state.result("finished"), state
