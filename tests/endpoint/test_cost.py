"""What searches cost, and that no budget of money is overrun."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.servers.mock_server import MockServer, answering
from tests.traces.searches import facts
from trio_beam import (
    BeamSearchConfig,
    ConfigError,
    Endpoint,
    Judge,
    McmcConfig,
    Prices,
    RetryPolicy,
    SearchFailed,
    SearchResult,
    Strategy,
    replay,
    search,
)
from trio_beam.observers import Trace
from trio_beam.strategies import self_consistency
from trio_beam.testing import FakeEndpoint

#: A token of a prompt costs a millionth of a dollar, a cached one a tenth, a generated one ten times as much.
PRICES = Prices(input=1, output=10, cached=0.1)
CONFIG = BeamSearchConfig(
    beam_width=2, n_per_beam=2, tokens_per_step=3, max_tokens=9, seed=1, deduplicate=False
)


def usage(**counts: Any) -> dict[str, Any]:
    return {"usage": {"prompt_tokens": 7, "completion_tokens": 12, **counts}}


async def test_cached_and_reasoning_tokens_are_counted_apart(autojump_clock: MockClock) -> None:
    server = MockServer()
    server.extra = usage(
        prompt_tokens_details={"cached_tokens": 4},
        completion_tokens_details={"reasoning_tokens": 5},
    )
    async with server.endpoint(prices=PRICES) as endpoint:
        config = attrs.evolve(CONFIG, tokens_per_step=9)
        result = await search(endpoint, "p", config)
    used = result.usage
    assert (used.requests, used.prompt_tokens, used.cached_tokens, used.reasoning_tokens) == (
        1,
        7,
        4,
        5,
    )
    # 36 tokens came, more than the server has counted: 3 x 1 + 4 x 0.1 + 36 x 10 millionths.
    assert used.cost == 0.0003634
    assert (used.uncertain_cost, used.unpriced) == (0.0, 0)


async def test_a_server_charges_for_thinking_that_it_does_not_show(
    autojump_clock: MockClock,
) -> None:
    server = MockServer()
    server.extra = usage(total_tokens=7 + 12 + 100)
    async with server.endpoint(prices=PRICES) as endpoint:
        result = await search(endpoint, "p", attrs.evolve(CONFIG, tokens_per_step=9))
    assert result.usage.cost == 0.001127


async def test_without_a_count_the_prompt_is_as_long_as_it_was_sent(
    autojump_clock: MockClock,
) -> None:
    server = MockServer()
    server.extra = {"usage": None}
    async with server.endpoint(prices=PRICES) as endpoint:
        result = await search(endpoint, "p" * 100, attrs.evolve(CONFIG, tokens_per_step=9))
    used = result.usage
    assert used.cost is not None
    assert used.cost >= 0.00046  # 36 x 10 and at least 100 x 1
    assert used.uncertain_cost == used.cost


async def test_a_model_of_a_list_needs_no_more(autojump_clock: MockClock) -> None:
    async with MockServer().endpoint(model="gpt-4o-mini") as endpoint:
        result = await search(endpoint, "p", attrs.evolve(CONFIG, tokens_per_step=9))
    assert result.usage.cost == pytest.approx(7 * 0.15e-6 + 36 * 0.6e-6, rel=1e-12)


async def test_an_unknown_price_is_not_zero(autojump_clock: MockClock) -> None:
    async with MockServer().endpoint() as endpoint:
        result = await search(endpoint, "p", CONFIG)
    assert result.usage.cost is None
    assert result.usage.unpriced == result.usage.requests


async def test_cancelled_requests_are_charged_at_their_estimate(autojump_clock: MockClock) -> None:
    async def hang(number: int, body: dict[str, Any]) -> None:
        if number >= 1:
            await trio.sleep_forever()

    server = MockServer(hang)
    async with server.endpoint(prices=PRICES) as endpoint:
        result = None
        with trio.move_on_after(5):
            await search(endpoint, "p", CONFIG)
        config = attrs.evolve(CONFIG, beam_timeout=5, on_beam_failure="drop_beam")
        try:
            result = await search(endpoint, "p", config)
        except SearchFailed as error:
            result = error.partial
    assert result is not None
    # Nothing came: the most is 12 tokens at 10, and the prompt, whose length the first search has told.
    assert result.usage.cancelled == 1
    assert result.usage.cost == result.usage.uncertain_cost
    assert result.usage.cost is not None
    assert 0.000120 < result.usage.cost < 0.000200


async def test_a_refusal_costs_nothing(autojump_clock: MockClock) -> None:
    server = MockServer(answering(lambda: httpx.Response(503), 0))
    async with server.endpoint(prices=PRICES) as endpoint:
        result = await search(endpoint, "p", attrs.evolve(CONFIG, tokens_per_step=9))
    assert (result.usage.requests, result.usage.cost) == (2, 0.000367)


@pytest.mark.parametrize("strategy", [CONFIG, McmcConfig(max_tokens=9, tokens_per_step=3)])
async def test_a_search_that_was_charged_nothing_has_a_known_cost(
    strategy: Strategy, tmp_path: Path
) -> None:
    refused = MockServer(lambda _, __: _refuse())
    with pytest.raises(SearchFailed) as caught:
        async with refused.endpoint(prices=PRICES) as endpoint:
            await search(endpoint, "p", strategy)
    assert caught.value.partial.usage.requests > 0
    assert (caught.value.partial.usage.cost, caught.value.partial.usage.unpriced) == (0.0, 0)
    strategy = attrs.evolve(strategy, seed=1)
    for costs in (True, False):
        server = MockServer(latency=0)
        async with server.endpoint(prices=PRICES, cache=tmp_path) as endpoint:
            result = await search(endpoint, "p", strategy)
        assert result.usage.cost is not None
        assert (result.usage.cost > 0, bool(server.paths)) == (costs, costs)
    async with MockServer(latency=0).endpoint(cache=tmp_path) as endpoint:
        result = await search(endpoint, "p", strategy)
    assert result.usage.cost is None  # without a price


async def _refuse() -> httpx.Response:
    await trio.lowlevel.checkpoint()
    return httpx.Response(400, json={"error": {"message": "no"}})


@pytest.mark.parametrize(
    "strategy", [CONFIG, McmcConfig(max_tokens=9, tokens_per_step=3, chains=2)]
)
async def test_a_budget_without_a_price_is_refused_before_anything_is_sent(
    strategy: Strategy, autojump_clock: MockClock
) -> None:
    server = MockServer()
    async with server.endpoint() as endpoint:
        with pytest.raises(ConfigError, match="max_cost must be None, since no price"):
            await search(endpoint, "p", attrs.evolve(strategy, max_cost=1.0))
    async with server.endpoint(max_cost=1.0) as endpoint:
        with pytest.raises(ConfigError, match="max_cost must be None, since no price"):
            await search(endpoint, "p", strategy)
    async with server.endpoint(prices=PRICES) as endpoint:
        judged = attrs.evolve(CONFIG, scorer=Judge(endpoint=FakeEndpoint()), max_cost=1.0)
        with pytest.raises(ConfigError, match="max_cost must be None, since no price"):
            await search(endpoint, "p", judged)
    assert server.bodies == []


async def test_a_budget_ends_a_search_with_the_best_so_far(autojump_clock: MockClock) -> None:
    async with MockServer().endpoint(prices=PRICES) as endpoint:
        result = await search(endpoint, "p", attrs.evolve(CONFIG, max_cost=0.00035))
    assert result.stop_reason == "budget"
    # 127 and 134 millionths in two rounds; of the 89 left, two prompts of 13 tokens and 4 tokens are paid.
    assert result.beams[0].length == 3 + 3 + 1
    assert result.usage.cost == 0.000315


async def test_a_search_with_a_budget_is_replayed(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Without a server, from the price that the trace has."""
    path = tmp_path / "trace.jsonl"
    async with MockServer().endpoint(prices=PRICES) as endpoint:
        made = attrs.evolve(CONFIG, max_cost=0.00035)
        result = await search(endpoint, "p", made, observers=[Trace(path)])
    assert facts(replay(path)) == facts(result)


async def test_a_limit_of_the_endpoint_holds_for_all_searches(autojump_clock: MockClock) -> None:
    results: list[SearchResult] = []

    async def one(endpoint: Endpoint, seed: int) -> None:
        results.append(await search(endpoint, "p", attrs.evolve(CONFIG, seed=seed)))

    async with MockServer().endpoint(prices=PRICES, max_cost=0.001) as endpoint:
        async with trio.open_nursery() as nursery:
            for seed in range(4):
                nursery.start_soon(one, endpoint, seed)
        assert endpoint.is_exhausted
    costs = [result.usage.cost or 0 for result in results]
    assert sum(costs) <= 0.001
    assert "budget" in {result.stop_reason for result in results}


@settings(max_examples=50)
@given(
    chance=st.integers(),
    budget=st.integers(50, 3000),
    strategy=st.sampled_from(
        [
            CONFIG,
            attrs.evolve(CONFIG, scorer=Judge(chat=False)),
            attrs.evolve(CONFIG, selection="resample", proposal_temperature=1.0),
            McmcConfig(max_tokens=9, tokens_per_step=3, chains=2, steps=2, seed=1),
            self_consistency(4, r"\w+", max_tokens=9, seed=1),
        ]
    ),
)
def test_no_budget_is_overrun_whatever_the_server_does(
    chance: int, budget: int, strategy: Strategy
) -> None:
    """It refuses, hangs, breaks off, is late, caches any part of prompts; its own bill is the truth."""
    billed = 0.0
    source = random.Random(chance)

    async def disturb(number: int, body: dict[str, Any]) -> httpx.Response | None:
        nonlocal billed
        asked = body["max_tokens"] * body.get("n", 1)
        prompt, cached = 7, source.choice([0, 3, 7])
        server.extra = usage(
            prompt_tokens=prompt,
            completion_tokens=asked,
            prompt_tokens_details={"cached_tokens": cached},
        )
        fault = source.choice(["none"] * 5 + ["refuse", "hang", "late", "broken"])
        if fault == "refuse":
            await trio.lowlevel.checkpoint()
            return httpx.Response(503)
        billed += (prompt - cached) * 1 + cached * 0.1 + asked * 10
        if fault == "hang":
            await trio.sleep_forever()
        await trio.sleep(50 if fault == "late" else 0)
        return httpx.Response(200, text="{") if fault == "broken" else None

    server = MockServer(disturb, latency=0)

    async def main() -> SearchResult:
        policy = RetryPolicy(attempts=100, wait_initial=1, wait_max=1)
        async with server.endpoint(
            prices=PRICES, attempt_timeout=20, retry=policy, hedge_after=10, hedge_share=1
        ) as endpoint:
            made = attrs.evolve(strategy, max_cost=budget / 1e6, on_beam_failure="drop_beam")
            return await search(endpoint, "prompt", made)

    try:
        result = trio.run(main, clock=MockClock(autojump_threshold=0))
    except SearchFailed as error:
        result = error.partial
    assert (result.usage.cost or 0.0) <= budget / 1e6
    assert billed <= budget
