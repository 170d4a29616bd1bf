"""A language small enough to know everything about: a Markov chain over three letters and an end.

And searches over it without Trio: the machine's rounds are answered here.
"""

from __future__ import annotations

import functools
import itertools
import math
import random
from collections.abc import Iterator, Sequence

from trio_beam.core.beam import Beam
from trio_beam.core.beam_search.machine import BeamSearchMachine
from trio_beam.core.block import LENGTH, STOP, Continuation, Token
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.result import SearchResult
from trio_beam.core.steps import Expansion, Outcome, Round
from trio_beam.errors import ServerError

LETTERS = "abc"
LOST = ServerError("lost", status=500)
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
    start = last
    sampled: list[int] = []
    while len(sampled) < most and last != END:
        (last,) = source.choices(range(END + 1), cum_weights=_cumulated(last, temperature))
        sampled.append(last)
    return block(start, tuple(sampled), temperature)


@functools.cache
def _cumulated(last: int | None, temperature: float) -> list[float]:
    return list(itertools.accumulate(map(math.exp, logprobs(last, temperature))))


@functools.cache
def block(last: int | None, sampled: tuple[int, ...], temperature: float) -> Continuation:
    """These tokens behind a letter. Blocks are never changed, so many searches may share one."""
    befores = (last, *sampled[:-1])
    tokens = [
        Token(text := LETTERS[number : number + 1], logprobs(before)[number], number, text.encode())
        for before, number in zip(befores, sampled, strict=True)
    ]
    proposal = [logprobs(a, temperature)[b] for a, b in zip(befores, sampled, strict=True)]
    return Continuation(
        tokens=tuple(tokens),
        data=b"".join(token.data for token in tokens),
        finish_reason=STOP if sampled[-1] == END else LENGTH,
        proposal=None if temperature == 1 else proposal,
    )


def answer(expansion: Expansion, config: BeamSearchConfig, source: random.Random) -> Outcome:
    """The samples that one expansion asks for."""
    before = expansion.beam.continuation
    last = before.tokens[-1].id if before is not None else None
    temperature = config.proposal_temperature
    blocks = {
        index: continuation(last, expansion.max_tokens, source, temperature)
        for index in range(expansion.n)
    }
    return Outcome(rank=expansion.rank, continuations=blocks)


def search(
    config: BeamSearchConfig, seed: int, failing: float = 0.0
) -> tuple[SearchResult, BeamSearchMachine]:
    """A whole search, every sample of its own.

    Args:
        config: of the search.
        seed: of the samples and the draws.
        failing: probability with which each expansion of a later round, rollout and reward fails.
    """
    source = random.Random(seed)
    state = BeamSearchMachine(config, seed)
    while isinstance(step := state.step(), Round):
        for expansion in step.expansions:
            if failing and expansion.beam.length and source.random() < failing:
                state.receive(Outcome(rank=expansion.rank, errors=(LOST,)))
            elif step.purpose == "reward":
                reward = reward_of(tokens_of(expansion.beam))
                state.receive(Outcome(rank=expansion.rank, step_scores=(reward,)))
            else:
                state.receive(answer(expansion, config, source))
    return state.result("finished"), state


def reward_of(tokens: Sequence[int]) -> float:
    """A reward that differs from text to text, and from its beginnings."""
    return 0.8 * tokens.count(1) - 0.3 * len(tokens)


def tokens_of(beam: Beam) -> tuple[int, ...]:
    """The numbers of its tokens."""
    return tuple(token.id for token in beam.tokens if token.id is not None)
