"""What is being waited for, for every strategy, in virtual time."""

from __future__ import annotations

from typing import Any

import attrs
import httpx
import pytest
import trio
from rich.console import Console
from trio.testing import MockClock

from tests.servers.mock_server import MockServer, answering
from trio_beam import (
    BeamSearchConfig,
    Judge,
    McmcConfig,
    Prices,
    RetryPolicy,
    SearchFailed,
    Strategy,
    search,
)
from trio_beam.observers.activity import Activity
from trio_beam.observers.progress import progress
from trio_beam.strategies import power_sampling, self_consistency

PRICES = Prices(input=1, output=10)
CONFIG = BeamSearchConfig(beam_width=2, n_per_beam=2, tokens_per_step=3, max_tokens=9, seed=1)
STRATEGIES: dict[str, Strategy] = {
    "beam search": CONFIG,
    "particles": power_sampling(4, max_tokens=9, tokens_per_step=3, seed=1),
    "chains": McmcConfig(max_tokens=9, tokens_per_step=3, chains=2, steps=2, seed=1),
    "votes": self_consistency(4, r"\w+", max_tokens=9, seed=1),
    "a judge": attrs.evolve(CONFIG, scorer=Judge(chat=False, yes=("alpha",), no=("beta", "gamma"))),
}


@pytest.mark.parametrize("name", STRATEGIES)
async def test_every_strategy_says_what_it_waits_for(name: str, autojump_clock: MockClock) -> None:
    said: list[str] = []
    activity = Activity(trio.current_time)

    async def look() -> None:
        while True:
            await trio.sleep(4.9)
            said.append(f"{activity.waiting()} | {activity.spent()}")

    endpoint_of = MockServer(latency=8).endpoint(prices=PRICES, max_concurrent=1)
    async with endpoint_of as endpoint, trio.open_nursery() as nursery:
        nursery.start_soon(look)
        try:
            result = await search(endpoint, "p", STRATEGIES[name], observers=[activity.watch()])
        except SearchFailed as error:
            result = error.partial
        nursery.cancel_scope.cancel()
    assert said[0].startswith("waiting for 1 answer, 5 s")
    assert all("waiting for 1 answer" in one for one in said)
    assert len(said) == 1 or "tokens/s, $0.0" in said[-1]  # votes are one request
    assert activity.waiting() == ""
    assert activity.usage == result.usage


async def test_slots_pauses_and_retries_are_named(autojump_clock: MockClock) -> None:
    asked = {"retry-after": "30"}
    server = MockServer(answering(lambda: httpx.Response(429, headers=asked), 0), latency=10)
    activity = Activity(trio.current_time)
    said: list[tuple[float, str]] = []

    async def look() -> None:
        for _ in range(6):
            said.append((trio.current_time(), activity.waiting()))
            await trio.sleep(10)

    retry = RetryPolicy(wait_initial=4, wait_max=4)
    async with (
        server.endpoint(max_concurrent=1, retry=retry) as endpoint,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(
            lambda: search(
                endpoint,
                "p",
                attrs.evolve(CONFIG, max_tokens=3),
                observers=[activity.watch()],
            )
        )
        await trio.sleep(1)
        nursery.start_soon(
            lambda: search(
                endpoint,
                "q",
                attrs.evolve(CONFIG, max_tokens=3),
                observers=[activity.watch()],
            )
        )
        await trio.sleep(1)
        nursery.start_soon(look)
    words = [text for _, text in said]
    assert "the server asked for a pause, 28 s more" in words[0]
    assert "1 request waiting for the end of it, 1 s" in words[0]
    assert "1 failed request to be sent again in " in words[0]
    assert any("waiting for 1 answer" in text and "free slot" in text for text in words)
    assert activity.waiting() == ""


async def test_without_a_terminal_a_long_wait_is_a_line_in_ten_seconds(
    autojump_clock: MockClock,
) -> None:
    console = Console(record=True, force_terminal=False, quiet=False, width=200)
    async with MockServer(latency=35).endpoint(prices=PRICES) as endpoint:
        with progress(console, clock=trio.current_time) as observe:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(observe.report)
                await search(endpoint, "p", attrs.evolve(CONFIG, max_tokens=3), observers=[observe])
                nursery.cancel_scope.cancel()
    lines = console.export_text().splitlines()
    assert [line for line in lines if "waiting" in line] == [
        f"waiting for 1 answer, {seconds} s; 0 tokens" for seconds in (10, 20, 30)
    ]


async def test_what_was_cancelled_while_it_waited_is_forgotten(autojump_clock: MockClock) -> None:
    async def hang(number: int, body: dict[str, Any]) -> None:
        await trio.sleep_forever()

    activity = Activity(trio.current_time)
    async with MockServer(hang).endpoint(max_concurrent=1) as endpoint:
        with trio.move_on_after(5):
            config = attrs.evolve(STRATEGIES["votes"], seed=1)
            await search(endpoint, "p", config, observers=[activity.watch()])
    assert activity.waiting() == ""
