"""`mcmc` draws from p^alpha: against a language whose p^alpha is known exactly."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias

import attrs
import pytest

from tests.core.language import END, LENGTH_OF_TEXT, LETTERS, continuation, logprobs, powers
from trio_beam import McmcConfig
from trio_beam.core.beam import Beam
from trio_beam.core.block import CONTEXT, LENGTH, STOP, Continuation, Token
from trio_beam.core.events import ChainStepped, Event
from trio_beam.core.mcmc.chain import Chain
from trio_beam.core.mcmc.metropolis import positions
from trio_beam.core.mcmc.run import McmcRun
from trio_beam.core.steps import Outcome, Round
from trio_beam.core.usage_meter import UsageMeter

Numbers: TypeAlias = tuple[int, ...]
Text: TypeAlias = tuple[Numbers, str]

# -- the distribution of many chains


def run(config: McmcConfig, seed: int) -> list[Beam]:
    """The texts of all chains, every sample of its own."""
    source = random.Random(seed)
    state = McmcRun(config, seed)
    state.open()
    for chain in state.chains:
        while (step := chain.step()) is not None:
            assert isinstance(step, Round)
            [expansion] = step.expansions
            tokens = expansion.beam.tokens
            last = tokens[-1].id if tokens else None
            temperature = config.proposal_temperature
            got = continuation(last, expansion.max_tokens, source, temperature)
            chain.receive(Outcome(rank=0, continuations={0: got}))
        assert chain.end == "done"
    return list(state.result(state.stop_reason()).beams)


def distances(alpha: float, chains: int, **changes: Any) -> tuple[float, float]:
    """(total variation from p^alpha, how many standard deviations its chi-square is too large)."""
    config = McmcConfig(alpha=alpha, max_tokens=LENGTH_OF_TEXT, chains=chains, **changes)
    beams = run(config, 7)
    counts = Counter(tuple(token.id for token in beam.tokens) for beam in beams)
    exact = powers(alpha)
    everything = sum(exact.values())
    expected: defaultdict[Any, float] = defaultdict(float)
    seen: Counter[Any] = Counter()
    variation = 0.0
    for tokens, value in exact.items():
        share = value / everything
        variation += abs(counts[tokens] / chains - share) / 2
        cell = tokens if share * chains >= 10 else "rare"
        expected[cell] += share * chains
        seen[cell] += counts[tokens]
    assert sum(seen.values()) == chains
    square = sum((seen[cell] - value) ** 2 / value for cell, value in expected.items())
    degrees = len(expected) - 1
    # Wilson and Hilferty 1931: the cube root is about normal.
    spread = 2 / (9 * degrees)
    return variation, ((square / degrees) ** (1 / 3) - (1 - spread)) / math.sqrt(spread)


#: So many that what is left of the beginning (exactly: a total variation of less than 0.005) is far below
#: the noise of 250 texts.
STEPS = {1.0: 4, 2.0: 16, 4.0: 24}


@pytest.mark.parametrize(
    ("alpha", "block", "temperature"),
    [(1.0, 1, 1.0), (1.0, 3, 0.7), (2.0, 1, 0.7), (2.0, 3, 1.0), (4.0, 1, 1.0), (4.0, 3, 0.7)],
)
def test_texts_are_drawn_from_p_alpha(alpha: float, block: int, temperature: float) -> None:
    """Each of the 6 fails at 3.1 standard deviations, one set of seeds in 1000: together one in 160."""
    _, deviations = distances(
        alpha, 250, tokens_per_step=block, steps=STEPS[alpha], proposal_temperature=temperature
    )
    assert deviations < 3.1


@pytest.mark.parametrize("block", [1, 3])
def test_without_steps_texts_are_drawn_from_the_proposal(block: int) -> None:
    assert distances(1.0, 500, tokens_per_step=block, steps=0)[1] < 3.1
    assert distances(2.0, 500, tokens_per_step=block, steps=0)[1] > 10


def test_more_steps_are_nearer() -> None:
    near = [distances(4.0, 400, tokens_per_step=3, steps=steps)[0] for steps in (0, 2, 8, 24)]
    assert near == sorted(near, reverse=True)
    assert near[0] > 0.5 > 0.09 > near[-1]


# -- detailed balance, exactly

LIMIT = 3


@attrs.frozen(kw_only=True)
class World:
    """A language and a configuration, small enough to walk every way from every text.

    Attributes:
        silent: whether the end is no token.
        context: most tokens that the model has room for.
        pieces: whether texts are made of a block for each token.
        beta: weight of the reward.
        at: which texts have a reward.
    """

    alpha: float = 4.0
    temperature: float = 1.0
    stop: tuple[str, ...] = ()
    silent: bool = False
    context: int = LIMIT
    pieces: bool = False
    beta: float = 0.0
    at: Literal["block", "end"] = "block"

    def ways(self, before: Numbers) -> Iterator[Numbers]:
        """Everything that may be sampled behind these tokens."""
        if before[-1:] == (END,) or len(before) == self.context:
            yield ()
            return
        for number in range(END + 1):
            for rest in self.ways((*before, number)):
                yield (number, *rest)

    def sampled(self, before: Numbers, way: Numbers) -> list[float]:
        """The log-probability of sampling each of these tokens."""
        lasts = [*before, *way][-len(way) - 1 : -1] if before else [None, *way[:-1]]
        return [
            logprobs(last, self.temperature)[number]
            for last, number in zip(lasts, way, strict=True)
        ]

    def block(self, before: Numbers, way: Numbers) -> Continuation:
        """What a server makes of it."""
        proposal = self.sampled(before, way)
        plain = attrs.evolve(self, temperature=1.0).sampled(before, way)
        tokens = [
            Token(LETTERS[number], value, number, LETTERS[number].encode())
            if number < END
            else Token("", value, number, b"")
            for number, value in zip(way, plain, strict=True)
        ]
        ended, length = way[-1:] == (END,), len(before) + len(way)
        if ended and self.silent:
            tokens.pop()
            proposal.pop()
        full = LENGTH if length < self.context or length == LIMIT else CONTEXT
        return Continuation(
            tokens=tuple(tokens),
            data=b"".join(token.data for token in tokens),
            finish_reason=STOP if ended else full,
            exact=not (ended and self.silent),
            proposal=None if self.temperature == 1 else proposal,
        )

    def chain(self, way: Numbers, position: float) -> Chain:
        """A chain whose text this has become, at the step where it draws that position."""
        config = McmcConfig(
            alpha=self.alpha,
            tokens_per_step=LIMIT,
            max_tokens=LIMIT,
            steps=1,
            proposal_temperature=self.temperature,
            stop=self.stop,
            beta=self.beta,
            reward_at=self.at,
            scorer=rewards if self.beta else "power",
        )
        chances = {"position": position, "accepted": 0.0}
        chain = Chain(config, 0, lambda name: chances[name.split()[-1]], None, UsageMeter())
        for at in range(len(way)) if self.pieces else [0]:
            if not chain.beam.ended:
                sampled = way[at : at + 1] if self.pieces else way
                give(chain, self.block(way[:at], sampled))
        return chain

    def moves(self, way: Numbers) -> Iterator[tuple[Text, float]]:
        """Where the machine goes from the text that this becomes, with what probability."""
        beam = self.chain(way, 0).beam
        places = positions(beam)
        for position in range(places):
            total = 0.0
            for rest in self.ways(way[:position]):
                chain = self.chain(way, (position + 0.5) / places)
                step = chain.step()
                assert isinstance(step, Round)
                assert numbers_of(step.expansions[0].beam) == way[:position]
                [event] = give(chain, self.block(way[:position], rest))
                assert isinstance(event, ChainStepped)
                chance = math.exp(sum(self.sampled(way[:position], rest)))
                total += chance
                yield name_of(chain.beam), chance * event.probability / places
                yield name_of(beam), chance * (1 - event.probability) / places
            assert total == pytest.approx(1, abs=1e-12)

    def target(self, way: Numbers, beam: Beam) -> float:
        """p^alpha; an end that is not reported has the probability of the proposal."""
        value = self.alpha * sum(token.logprob for token in beam.tokens)
        if self.beta:
            value += self.beta * rewards([beam], None)[0]
        if self.silent and beam.finish_reason == STOP and not beam.trim:
            value += self.sampled((), way)[-1]
        return math.exp(value)


def rewards(beams: Sequence[Beam], config: Any) -> list[float]:
    """Something that differs from text to text, and forbids some."""
    del config
    return [
        -math.inf if beam.text.startswith("ba") else beam.text.count("a") - 0.3 * len(beam.text)
        for beam in beams
    ]


def give(chain: Chain, block: Continuation) -> Sequence[Event]:
    return chain.receive(Outcome(rank=0, continuations={0: block})).events


def numbers_of(beam: Beam) -> Numbers:
    return tuple(-1 if token.id is None else token.id for token in beam.tokens)


def name_of(beam: Beam) -> Text:
    return numbers_of(beam), beam.finish_reason


@pytest.mark.parametrize(
    "world",
    [
        World(),
        World(alpha=1.0),
        World(alpha=0.5, pieces=True),
        World(alpha=2.0, temperature=0.7, pieces=True),
        World(temperature=0.25),
        World(stop=("ab", "c"), temperature=0.7),
        World(stop=("ba",), pieces=True),
        World(silent=True),
        World(silent=True, temperature=0.7, stop=("bb",)),
        World(context=2, temperature=0.7),
        World(beta=0.7, alpha=1.0),
        World(beta=2.0, at="end", temperature=0.7, pieces=True),
        World(beta=1.0, context=2, stop=("ab",)),
    ],
    ids=str,
)
def test_detailed_balance_is_exact(world: World) -> None:
    """pi(x) K(x, y) = pi(y) K(y, x) for all texts x and y of at most 3 tokens, K walked by the machine."""
    first: dict[Text, Numbers] = {}
    target: dict[Text, float] = {}
    for way in world.ways(()):
        beam = world.chain(way, 0).beam
        first.setdefault(name_of(beam), way[: beam.length + (way[beam.length :] == (END,))])
        target[name_of(beam)] = world.target(way, beam)
    everything = sum(target.values())
    kernel: defaultdict[tuple[Text, Text], float] = defaultdict(float)
    for x, way in first.items():
        for y, chance in world.moves(way):
            kernel[x, y] += chance
    for x in first:
        assert sum(kernel[x, y] for y in first) == pytest.approx(1, abs=1e-12)
        for y in first:
            there = target[x] / everything * kernel[x, y]
            assert there == pytest.approx(target[y] / everything * kernel[y, x], abs=1e-12)
            # Whatever shares its first position, or none, can be reached at once.
            assert kernel[x, y] > 0 or x == y or not target[y]
