"""Rewards in the target of particles and chains: whoever gives them, and whatever becomes of the requests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from trio_beam import (
    Beam,
    BeamSearchConfig,
    Judge,
    McmcConfig,
    Rating,
    RewardModel,
    SampleRequest,
    SearchFailed,
    SearchResult,
    ServerError,
    Token,
    mcmc,
    mcmc_within,
    search,
)
from trio_beam.core.events import EvaluationStarted, Event
from trio_beam.core.strategy import Strategy
from trio_beam.testing import FakeEndpoint, Reply, ScriptedModel

PARTICLES = BeamSearchConfig(
    selection="resample",
    alpha=1.0,
    beam_width=8,
    n_per_beam=1,
    tokens_per_step=3,
    max_tokens=9,
    seed=1,
)
CHAINS = McmcConfig(alpha=1.0, tokens_per_step=3, max_tokens=9, steps=4, chains=3, seed=1)
STRATEGIES = [PARTICLES, CHAINS]
YES = Token("yes", -0.2, 1, b"yes", top=(Token("yes", -0.2), Token("no", -2.0)))


def likes_dogs(beams: Sequence[Beam], config: Strategy) -> list[float]:
    del config
    return [5.0 * beam.text.count("dog") for beam in beams]


async def likes_dogs_later(beams: Sequence[Beam], config: Strategy) -> list[float]:
    await trio.sleep(0.1)
    return likes_dogs(beams, config)


def dogs_by_step(prompt: str, answers: Sequence[Sequence[str]]) -> list[list[float]]:
    """What `likes_dogs` gives, as the last of the numbers of each text's steps."""
    return [[0.0] * (len(steps) - 1) + [5.0 * "".join(steps).count("dog")] for steps in answers]


def with_scorer(strategy: Any, scorer: Any, **changes: Any) -> Any:
    return attrs.evolve(strategy, scorer=scorer, **changes)


def dogs(result: SearchResult) -> float:
    """The mean number of dogs in a text, by weight."""
    return sum((beam.weight or 0.0) * beam.text.count("dog") for beam in result.beams)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=["particles", "chains"])
@pytest.mark.parametrize("at", ["block", "end"])
async def test_the_reward_moves_the_answers(
    strategy: Strategy, at: str, autojump_clock: MockClock
) -> None:
    """Given by a function, plain or not, or by a reward model: the same texts."""
    scorers = [likes_dogs, likes_dogs_later, RewardModel(function=dogs_by_step)]
    plain = await search(FakeEndpoint(), "p", strategy)
    found = []
    for scorer in scorers:
        result = await search(FakeEndpoint(), "p", with_scorer(strategy, scorer, reward_at=at))
        found.append([beam.text for beam in result.beams])
        assert result.score == 5.0 * result.text.count("dog")
        assert result.exact
        assert dogs(result) > dogs(plain) + 0.5
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=["particles", "chains"])
async def test_at_the_end_only_complete_texts_are_scored(
    strategy: Strategy, autojump_clock: MockClock
) -> None:
    seen: list[Beam] = []

    def scorer(beams: Sequence[Beam], config: Strategy) -> list[float]:
        seen.extend(beams)
        return [0.0] * len(beams)

    await search(FakeEndpoint(), "p", with_scorer(strategy, scorer, reward_at="end"))
    assert seen
    assert all(beam.ended or beam.length == strategy.max_tokens for beam in seen)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=["particles", "chains"])
@pytest.mark.parametrize("scorer", [Judge(chat=False), Rating(chat=False)])
async def test_a_judge_is_asked_about_every_text_with_seeds_of_its_own(
    strategy: Strategy, scorer: Judge | Rating, autojump_clock: MockClock
) -> None:
    judge = ScriptedModel([Reply(tokens=[YES])] if isinstance(scorer, Judge) else "7")
    events: list[Event] = []
    searched = FakeEndpoint()
    wanted = with_scorer(strategy, attrs.evolve(scorer, endpoint=judge))
    result = await search(searched, "p", wanted, observers=[events.append])
    asked = [event for event in events if isinstance(event, EvaluationStarted)]
    assert sum(event.candidates for event in asked) == len(judge.requests) > 0
    assert result.usage.requests == len(searched.requests) + len(judge.requests)
    seeds = [
        request.seed + index
        for model in (searched, judge)
        for request in model.requests
        for index in range(request.n)
        if request.seed is not None
    ]
    assert len(seeds) == len(set(seeds))
    assert judge.in_flight == searched.in_flight == 0


@pytest.mark.parametrize("strategy", STRATEGIES, ids=["particles", "chains"])
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, "much"])
async def test_a_reward_that_is_no_weight_fails_the_search(
    strategy: Strategy, value: Any, autojump_clock: MockClock
) -> None:
    """Also minus infinity, if no text has another."""

    def scorer(beams: Sequence[Beam], config: Strategy) -> list[Any]:
        return [value] * len(beams)

    with pytest.raises(SearchFailed, match="scorer"):
        await search(FakeEndpoint(), "p", with_scorer(strategy, scorer))


@pytest.mark.parametrize("strategy", STRATEGIES, ids=["particles", "chains"])
async def test_a_scorer_that_raises_fails_the_search_with_its_error(
    strategy: Strategy, autojump_clock: MockClock
) -> None:
    async def broken(beams: Sequence[Beam], config: Strategy) -> list[float]:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError

    model = FakeEndpoint()
    with pytest.raises(SearchFailed, match="ZeroDivisionError"):
        await search(model, "p", with_scorer(strategy, broken))
    assert model.in_flight == 0


async def test_a_judge_that_fails_ends_the_chains(autojump_clock: MockClock) -> None:
    async def before(request: SampleRequest) -> None:
        raise ServerError("it broke", status=500, attempts=3)

    judge = FakeEndpoint(before=before)
    wanted = with_scorer(CHAINS, Judge(endpoint=judge, chat=False))
    model = FakeEndpoint()
    with pytest.raises(SearchFailed, match="it broke"):
        await mcmc(model, "p", wanted)
    assert model.in_flight == judge.in_flight == 0


async def test_chains_that_a_judge_leaves_waiting_end_at_the_deadline(
    autojump_clock: MockClock,
) -> None:
    judge, model = FakeEndpoint(latency=math.inf), FakeEndpoint()
    wanted = with_scorer(CHAINS, Judge(endpoint=judge, chat=False))
    result = await mcmc_within(2.0, model, "p", wanted)
    assert result.stop_reason == "deadline"
    assert model.in_flight == judge.in_flight == 0


@pytest.mark.parametrize("strategy", STRATEGIES, ids=["particles", "chains"])
async def test_a_judge_counts_in_the_budget(strategy: Strategy, autojump_clock: MockClock) -> None:
    judge = ScriptedModel([Reply(tokens=[YES])])
    wanted = with_scorer(strategy, Judge(endpoint=judge, chat=False), max_requests=9)
    model = FakeEndpoint()
    result = await search(model, "p", wanted)
    assert result.stop_reason == "budget"
    assert len(model.requests) + len(judge.requests) <= 9
