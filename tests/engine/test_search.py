"""One verb for every strategy: what it takes, and how exceptions arrive."""

from __future__ import annotations

import signal
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from trio_beam import (
    BeamSearchConfig,
    ConfigError,
    Event,
    McmcConfig,
    Search,
    SearchFailed,
    ServerError,
    beam_search,
    mcmc,
    search,
    search_many,
    search_within,
)
from trio_beam.strategies import best_of_n, greedy, power_sampling, sample, self_consistency
from trio_beam.testing import FakeEndpoint

SMALL = {"max_tokens": 8, "tokens_per_step": 4, "seed": 3}
BEAMS, CHAINS = BeamSearchConfig(**SMALL), McmcConfig(**SMALL, steps=2)  # type: ignore[arg-type]


async def test_it_runs_any_strategy() -> None:
    searched = await search(FakeEndpoint(), "p", BEAMS)
    assert searched.text == (await beam_search(FakeEndpoint(), "p", BEAMS)).text
    sampled = await search(FakeEndpoint(), "p", CHAINS)
    assert sampled.text == (await mcmc(FakeEndpoint(), "p", CHAINS)).text
    assert (await search(FakeEndpoint(), "p")).beams


@pytest.mark.parametrize("strategy", [BEAMS, CHAINS])
async def test_within_a_time_the_best_so_far_comes_back(
    strategy: Any, autojump_clock: MockClock
) -> None:
    result = await search_within(3.5, FakeEndpoint(latency=1), "p", attrs.evolve(strategy, seed=4))
    whole = await search(FakeEndpoint(), "p", strategy)
    assert (result.stop_reason == "deadline") == (trio.current_time() == 3.5)
    assert result.beams
    assert whole.stop_reason != "deadline"


@pytest.mark.parametrize(
    ("preset", "requests"),
    [(greedy, 1), (sample, 1), (best_of_n, 1), (self_consistency, 1), (power_sampling, None)],
)
async def test_presets_are_strategies(preset: Any, requests: int | None) -> None:
    result = await search(FakeEndpoint(), "p", preset(max_tokens=6, seed=1))
    assert result.beams
    assert requests in (None, result.usage.requests)


async def test_many_prompts_by_chains() -> None:
    async with search_many(FakeEndpoint(), ["p", "q"], CHAINS) as outcomes:
        found = {outcome.index async for outcome in outcomes if outcome.result}
    assert found == {0, 1}


@pytest.mark.parametrize("strategy", ["beam_search", {"beam_width": 2}, BeamSearchConfig, 7])
async def test_what_is_no_strategy_is_refused(strategy: Any) -> None:
    with pytest.raises(ConfigError, match="strategy must be a BeamSearchConfig or a McmcConfig"):
        await search(FakeEndpoint(), "p", strategy)
    with pytest.raises(ConfigError, match="strategy must be"):
        async with search_many(FakeEndpoint(), ["p"], strategy):
            raise AssertionError("it raises at once")


async def test_the_typed_names_take_their_own_only() -> None:
    with pytest.raises(ConfigError, match="config must be a BeamSearchConfig"):
        await beam_search(FakeEndpoint(), "p", CHAINS)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="config must be a McmcConfig"):
        await mcmc(FakeEndpoint(), "p", BEAMS)  # type: ignore[arg-type]


async def test_a_string_is_not_many_prompts() -> None:
    with pytest.raises(ConfigError, match="prompts must be an iterable of prompts"):
        async with search_many(FakeEndpoint(), "hello"):
            raise AssertionError("it raises at once")


async def later(event: Event) -> None:
    """An observer that nobody would await."""


class LaterToo:
    async def __call__(self, event: Event) -> None: ...


@pytest.mark.parametrize("observer", [later, LaterToo(), "print", None])
async def test_an_observer_that_cannot_be_called_inline_is_refused(observer: Any) -> None:
    model = FakeEndpoint()
    with pytest.raises(ConfigError, match="observers must be"):
        await search(model, "p", observers=[observer])
    with pytest.raises(ConfigError, match="observers must be"):
        async with search_many(model, ["p"], observers=[observer]):
            raise AssertionError("it raises at once")
    with pytest.raises(ConfigError, match="observers must be"):
        await search(model, "p", observers=later)  # type: ignore[arg-type]
    assert model.requests == []


@pytest.mark.parametrize("strategy", [BEAMS, CHAINS])
async def test_ctrl_c_arrives_as_itself(strategy: Any, autojump_clock: MockClock) -> None:
    """However deep in nurseries it came up."""

    async def interrupt(_: object) -> None:
        signal.raise_signal(signal.SIGINT)
        await trio.lowlevel.checkpoint()

    model = FakeEndpoint(before=interrupt)
    with pytest.raises(KeyboardInterrupt):
        await search(model, "p", strategy)
    assert model.in_flight == 0


async def test_a_failure_within_nurseries_of_the_caller_is_not_unwrapped() -> None:
    async def fail(_: object) -> None:
        raise ServerError("down", status=500)

    with pytest.RaisesGroup(SearchFailed):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.lowlevel.checkpoint)
            nursery.start_soon(search, FakeEndpoint(before=fail), "p", BEAMS)


async def test_an_exception_of_the_block_arrives_as_itself_whatever_it_is() -> None:
    for raised in (ValueError("mine"), ExceptionGroup("mine", [ValueError("inner")])):
        with pytest.raises(type(raised)) as caught:
            async with search_many(FakeEndpoint(), ["p"], BEAMS):
                raise raised
        assert caught.value is raised


async def test_a_search_runs_once() -> None:
    one = Search(FakeEndpoint(), "p", CHAINS)
    await one.run()
    with pytest.raises(Exception, match="runs once"):
        await one.run()
