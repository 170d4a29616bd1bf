"""A budget is reserved before a request is sent, so that beams at the same time cannot overrun it."""

from __future__ import annotations

import random
from typing import Any

import attrs
import httpx
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.servers.mock_server import MockServer, answering
from trio_beam import BeamSearchConfig, RetryPolicy, SearchResult, beam_search
from trio_beam.core.usage import Budget
from trio_beam.core.usage_meter import UsageMeter
from trio_beam.testing import FakeEndpoint

CONFIG = BeamSearchConfig(
    beam_width=3,
    n_per_beam=2,
    tokens_per_step=4,
    max_tokens=20,
    seed=1,
    early_stopping=False,
    deduplicate=False,
)


async def test_tokens_end_the_search_with_the_best_so_far(autojump_clock: MockClock) -> None:
    async with MockServer().endpoint() as endpoint:
        result = await beam_search(endpoint, "p", attrs.evolve(CONFIG, max_completion_tokens=60))
    assert result.stop_reason == "budget"
    assert result.usage.completion_tokens == 60  # 24 + 24 + 12: the last round's blocks are shorter
    assert result.beams[0].length == 4 + 4 + 2


async def test_requests_end_the_search_with_the_best_so_far(autojump_clock: MockClock) -> None:
    async with MockServer().endpoint() as endpoint:
        result = await beam_search(endpoint, "p", attrs.evolve(CONFIG, max_requests=6))
    assert result.stop_reason == "budget"
    assert result.usage.requests == 6
    # Round 3 could send two of its three requests; what they brought counts.
    assert result.rounds == 2
    assert max(beam.length for beam in result.beams) == 12


async def test_asking_what_the_server_is_counts(autojump_clock: MockClock) -> None:
    server = MockServer()
    async with server.endpoint(dialect="auto", model=None) as endpoint:
        result = await beam_search(endpoint, "p", attrs.evolve(CONFIG, max_requests=1))
    assert (result.stop_reason, result.beams) == ("budget", ())
    assert server.paths == ["/v1/models"]


async def test_a_retry_needs_a_request_of_the_budget(autojump_clock: MockClock) -> None:
    server = MockServer(answering(lambda: httpx.Response(500), *range(99)))
    async with server.endpoint(retry=RetryPolicy(attempts=50)) as endpoint:
        result = await beam_search(endpoint, "p", attrs.evolve(CONFIG, max_requests=3))
    assert result.stop_reason == "budget"
    assert len(server.bodies) == 3


async def test_what_a_lost_request_may_have_generated_is_spent(autojump_clock: MockClock) -> None:
    """A timeout may have cost the server all the tokens; a refusal cost nothing."""

    async def hang(number: int, body: dict[str, Any]) -> httpx.Response | None:
        if number == 0:
            await trio.sleep_forever()
        return httpx.Response(503) if number == 1 else None

    async with MockServer(hang).endpoint(attempt_timeout=10) as endpoint:
        result = await beam_search(endpoint, "p", attrs.evolve(CONFIG, max_completion_tokens=72))
    # 24 lost, 24 refused and given back, 24 for round 1, 24 for round 2.
    assert result.rounds == 2
    assert result.usage.completion_tokens == 48


async def test_a_model_that_reserves_nothing_is_held_to_it_as_well() -> None:
    result = await beam_search(FakeEndpoint(), "p", attrs.evolve(CONFIG, max_completion_tokens=40))
    assert result.usage.completion_tokens <= 40


def test_a_reservation_gives_back_what_was_not_used() -> None:
    meter = UsageMeter(Budget(completion_tokens=100))
    one, two = meter.reservation(), meter.reservation()
    one.reserve(60)
    assert not two.allows(60)
    one.responded(60)
    one.settle(10)
    assert meter.tokens_left == 90
    two.reserve(90)
    two.refund(90)
    assert meter.tokens_left == 90


@settings(max_examples=60)
@given(
    chance=st.integers(),
    tokens=st.integers(6, 150),
    requests=st.integers(1, 30) | st.none(),
    n_cap=st.integers(1, 6),
    slots=st.integers(1, 8),
)
def test_no_budget_is_overrun(
    chance: int, tokens: int, requests: int | None, n_cap: int, slots: int
) -> None:
    """Whatever fails, hangs, is late or is cut into more requests."""
    generated = 0
    source = random.Random(chance)

    async def disturb(number: int, body: dict[str, Any]) -> httpx.Response | None:
        nonlocal generated
        fault = source.choice(["none"] * 6 + ["refuse", "hang", "late", "broken"])
        asked = body["max_tokens"] * min(body.get("n", 1), n_cap)
        if fault == "refuse":
            await trio.lowlevel.checkpoint()
            return httpx.Response(503)
        generated += asked
        if fault == "hang":
            await trio.sleep_forever()
        await trio.sleep(50 if fault == "late" else 0)
        return httpx.Response(200, text="{") if fault == "broken" else None

    server = MockServer(disturb, n_cap=n_cap)

    async def main() -> SearchResult:
        config = attrs.evolve(
            CONFIG, max_completion_tokens=tokens, max_requests=requests, on_beam_failure="drop_beam"
        )
        policy = RetryPolicy(attempts=100, wait_initial=1, wait_max=1)
        async with server.endpoint(
            attempt_timeout=20, retry=policy, max_concurrent=slots, hedge_after=10, hedge_share=1
        ) as endpoint:
            return await beam_search(endpoint, "p", config)

    result = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert generated <= tokens
    assert result.usage.completion_tokens <= generated
    assert requests is None or len(server.bodies) <= requests
    assert len(server.bodies) == result.usage.requests


async def test_the_total_budget_counts_prompts(autojump_clock: MockClock) -> None:
    """The mock server counts 10 tokens of prompt a request, which is longer by each block."""
    for limit in (60, 100, 140, 1000):
        async with MockServer().endpoint() as endpoint:
            config = attrs.evolve(CONFIG, max_total_tokens=limit)
            result = await beam_search(endpoint, "p", config)
        spent = result.usage.prompt_tokens + result.usage.completion_tokens
        assert spent <= limit
        assert (result.stop_reason == "budget") == (limit < 1000)
        assert result.beams


async def test_a_prompt_beyond_the_total_budget_is_not_sent(autojump_clock: MockClock) -> None:
    server = MockServer()
    async with server.endpoint() as endpoint:
        config = attrs.evolve(CONFIG, max_total_tokens=50)
        result = await beam_search(endpoint, "long " * 50, config)
    assert (result.stop_reason, result.beams, server.bodies) == ("budget", (), [])


def seen(result: SearchResult) -> list[tuple[str, float]]:
    return [(beam.text, beam.score) for beam in result.beams]


@given(
    timing=st.integers(0, 2**32),
    requests=st.integers(1, 20),
    max_n=st.sampled_from([None, 1, 2]),
    known=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_a_budget_of_requests_gives_the_same_at_any_timing(
    timing: int, requests: int, max_n: int | None, known: bool
) -> None:
    """Which beams it suffices for is decided by their ranks, not by which of their tasks runs first."""
    config = attrs.evolve(CONFIG, max_requests=requests)

    async def run(latency: random.Random | None) -> SearchResult:
        async def before(number: int, body: dict[str, Any]) -> None:
            await trio.sleep(latency.random() if latency else 0)

        server = MockServer(before, n_cap=max_n)
        async with server.endpoint(max_n=max_n if known else None) as endpoint:
            return await beam_search(endpoint, "p", config)

    one, other = (
        trio.run(run, latency, clock=MockClock(autojump_threshold=0))
        for latency in (None, random.Random(timing))
    )
    assert seen(one) == seen(other)
    assert one.usage == other.usage
    assert one.usage.requests <= requests


@given(timing=st.integers(0, 2**32), tokens=st.integers(20, 400), max_n=st.sampled_from([1, 2]))
@settings(max_examples=40, deadline=None)
def test_a_budget_of_tokens_gives_the_same_at_any_timing(
    timing: int, tokens: int, max_n: int
) -> None:
    config = attrs.evolve(CONFIG, max_total_tokens=tokens)

    async def run(latency: random.Random | None) -> SearchResult:
        async def before(number: int, body: dict[str, Any]) -> None:
            await trio.sleep(latency.random() if latency else 0)

        async with MockServer(before).endpoint(max_n=max_n) as endpoint:
            return await beam_search(endpoint, "p", config)

    one, other = (
        trio.run(run, latency, clock=MockClock(autojump_threshold=0))
        for latency in (None, random.Random(timing))
    )
    assert seen(one) == seen(other)
    spent = one.usage.prompt_tokens + one.usage.completion_tokens
    assert spent <= tokens


async def test_a_hedge_takes_nothing_that_was_allotted(autojump_clock: MockClock) -> None:
    """The budget is just enough for the beams, so that there is nothing left for a hedge."""

    async def before(number: int, body: dict[str, Any]) -> None:
        await trio.sleep(10 * number)

    config = attrs.evolve(CONFIG, max_tokens=8, max_requests=4)
    async with MockServer(before).endpoint(hedge_after=5, hedge_share=1) as endpoint:
        result = await beam_search(endpoint, "p", config)
        assert endpoint.statistics().hedges == 0
    assert (result.stop_reason, result.usage.requests, result.rounds) == ("max_tokens", 4, 2)
