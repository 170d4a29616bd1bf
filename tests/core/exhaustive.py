"""Searches over a tiny language, walked along every way that chance may take, each with its probability.

Nothing is sampled: where a search would draw a token, a particle, a position or an acceptance, it is run once
for each possibility. What is then summed over all ways is exact to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import pytest

from trio_beam.core import weights
from trio_beam.core.beam import Beam
from trio_beam.core.beam_search import particles
from trio_beam.core.block import LENGTH, STOP, Continuation, Token
from trio_beam.selection import resample

T = TypeVar("T")
END = 2
#: After each letter (and, first, at the beginning): a, b, the end; few ways, since each is walked.
NEXT = {None: (0.6, 0.4, 0.0), 0: (0.5, 0.0, 0.5), 1: (0.3, 0.5, 0.2)}


class Fate:
    """One way through all choices; `choose` takes the next one.

    Attributes:
        probability: of the choices so far.
    """

    def __init__(self, given: Sequence[int] = ()) -> None:
        self.probability = 1.0
        self.taken: list[int] = []
        self.left: list[int] = []
        self._given = given

    def choose(self, probabilities: Sequence[float]) -> int:
        """Return an index, whose probability counts; those of probability 0 are never chosen."""
        possible = [place for place, value in enumerate(probabilities) if value > 0]
        number = len(self.taken)
        chosen = self._given[number] if number < len(self._given) else 0
        if len(possible) == 1:
            return possible[0]
        self.taken.append(chosen)
        self.left.append(len(possible) - 1 - chosen)
        self.probability *= probabilities[possible[chosen]]
        return possible[chosen]

    def next(self) -> Fate | None:
        """Return the next way, or None after the last."""
        taken = list(self.taken)
        for place in reversed(range(len(taken))):
            if self.left[place]:
                return Fate([*taken[:place], taken[place] + 1])
        return None


def all_ways(run: Callable[[Fate], T]) -> Iterator[tuple[float, T]]:
    """Yield what `run` returns, and its probability, for every way."""
    fate: Fate | None = Fate()
    while fate is not None:
        result = run(fate)
        yield fate.probability, result
        fate = fate.next()


class Drawn(float):
    """A uniform number of which only what is asked is decided: whether it is below p, or which of n."""

    fate: Fate

    def __lt__(self, probability: float) -> bool:
        return self.fate.choose([probability, 1 - probability]) == 0

    def __mul__(self, places: Any) -> Any:
        return self.fate.choose([1 / places] * places) + 0.5


def drawn(fate: Fate) -> Drawn:
    """Return a number that is decided by this way."""
    number = Drawn(0.5)
    number.fate = fate
    return number


def decided_by(fate: Fate, patch: pytest.MonkeyPatch, *, answer: bool = False) -> None:
    """Let this way decide which particles are resampled, and which is the answer if that matters."""

    def systematic(shares: Sequence[float], count: int, offset: float) -> list[int]:
        del offset
        sums = [math.fsum(shares[: place + 1]) * count for place in range(len(shares))]
        cuts = sorted({0.0, 1.0, *(value % 1 for value in sums)})
        # Rounding may leave a sliver, in which nothing can be drawn.
        pieces = [(a, b) for a, b in pairwise(cuts) if b - a > 1e-12]
        total = math.fsum(b - a for a, b in pieces)
        a, b = pieces[fate.choose([(b - a) / total for a, b in pieces])]
        return weights.systematic_resample(shares, count, (a + b) / 2)

    patch.setattr(resample, "systematic_resample", systematic)
    patch.setattr("trio_beam.core.seeds.uniform", lambda *_: drawn(fate))
    if answer:
        patch.setattr(particles, "systematic_resample", systematic)


def logprobs(last: int | None, temperature: float = 1.0) -> list[float]:
    """The log-probabilities of the next token, in nats."""
    scaled = [math.log(p) / temperature if p else -math.inf for p in NEXT[last]]
    total = math.log(math.fsum(map(math.exp, scaled)))
    return [value - total for value in scaled]


def texts(longest: int) -> dict[tuple[int, ...], float]:
    """Every text that ends within so many tokens or has exactly as many, with its log-probability."""
    found: dict[tuple[int, ...], float] = {}

    def grow(text: tuple[int, ...], total: float) -> None:
        if text[-1:] == (END,) or len(text) == longest:
            found[text] = total
            return
        for token, value in enumerate(logprobs(text[-1] if text else None)):
            if value > -math.inf:
                grow((*text, token), total + value)

    grow((), 0.0)
    return found


def block(before: Sequence[int], sampled: Sequence[int], temperature: float = 1.0) -> Continuation:
    """These tokens behind those, as a server sends them."""
    lasts = [before[-1] if before else None, *sampled[:-1]]
    pairs = list(zip(lasts, sampled, strict=True))
    tokens = [
        Token(text := "ab"[token : token + 1], logprobs(last)[token], token, text.encode())
        for last, token in pairs
    ]
    proposal = [logprobs(last, temperature)[token] for last, token in pairs]
    return Continuation(
        tokens=tuple(tokens),
        data=b"".join(token.data for token in tokens),
        finish_reason=STOP if sampled[-1:] == (END,) or sampled[-1:] == [END] else LENGTH,
        proposal=None if temperature == 1 else proposal,
    )


def sample(fate: Fate, beam: Beam, longest: int, temperature: float = 1.0) -> Continuation:
    """Sample at most so many tokens behind a beam, along this way."""
    before = tokens_of(beam)
    sampled: list[int] = []
    while len(sampled) < longest and sampled[-1:] != [END]:
        last = (*before, *sampled)[-1:] or (None,)
        sampled.append(fate.choose([math.exp(value) for value in logprobs(last[0], temperature)]))
    return block(before, sampled, temperature)


def tokens_of(beam: Beam) -> tuple[int, ...]:
    """The numbers of its tokens."""
    return tuple(token.id for token in beam.tokens if token.id is not None)
