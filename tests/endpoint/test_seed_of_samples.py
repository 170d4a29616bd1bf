"""Every sample of a search has a seed of its own.

A request that is repeated, whichever it is and however often, has the seed of what it repeats.
"""

from __future__ import annotations

import json
from typing import Any

import httpx
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.dialects.strategies import unhurried
from tests.servers.mock_server import Before, MockServer
from trio_beam import BeamSearchConfig, RetryPolicy, beam_search
from trio_beam.core.seeds import base_seed

SIZES = st.integers(1, 5)
CAPS = st.none() | st.integers(1, 6)


def config_of(seed: int, width: int, n: int, rounds: int) -> BeamSearchConfig:
    """A search whose every round expands `width` beams by `n` samples."""
    return BeamSearchConfig(
        seed=seed,
        beam_width=width,
        n_per_beam=n,
        tokens_per_step=2,
        max_tokens=2 * rounds,
        early_stopping=False,
        deduplicate=False,
    )


def search_on(server: MockServer, config: BeamSearchConfig, **options: Any) -> None:
    """Run a search in virtual time."""

    async def run() -> None:
        async with server.endpoint(**options) as endpoint:
            await beam_search(endpoint, "p", config)

    trio.run(run, clock=MockClock(autojump_threshold=0))


def samples(server: MockServer, bodies: list[dict[str, Any]]) -> list[int]:
    """The seeds of all samples that the server gave for these requests."""
    cap = server.n_cap or 10**6
    return [body["seed"] + i for body in bodies for i in range(min(body.get("n", 1), cap))]


def expected(config: BeamSearchConfig) -> list[int]:
    """One for each sample, without gaps."""
    assert config.seed is not None
    base = base_seed(config.seed)
    return list(range(base, base + config.rounds * config.beam_width * config.n_per_beam))


def distinct(bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [json.loads(body) for body in {json.dumps(body) for body in bodies}]


@given(st.integers(0, 2**40), SIZES, SIZES, SIZES, CAPS, CAPS)
@unhurried(40)
def test_no_two_requests_overlap_in_seeds(
    seed: int, width: int, n: int, rounds: int, max_n: int | None, n_cap: int | None
) -> None:
    """Where the server gives fewer choices than asked, what was asked for in vain is asked for again."""
    server = MockServer(n_cap=n_cap)
    config = config_of(seed, width, n, rounds)
    search_on(server, config, max_n=max_n)
    sampled = samples(server, server.bodies)
    assert sorted(sampled) == expected(config)
    assert max(sampled) < 2**31


@given(st.integers(0, 99), SIZES, SIZES, CAPS, st.sets(st.integers(0, 12), max_size=6))
@unhurried(40)
def test_a_retry_has_the_seed_of_what_it_repeats(
    seed: int, width: int, n: int, max_n: int | None, failing: set[int]
) -> None:
    server = MockServer(failing_at(failing))
    config = config_of(seed, width, n, 2)
    search_on(server, config, max_n=max_n, retry=RetryPolicy(attempts=14))
    once = distinct(server.bodies)
    failed = sum(number < len(server.bodies) for number in failing)
    assert len(server.bodies) == len(once) + failed
    assert sorted(samples(server, once)) == expected(config)


def failing_at(numbers: set[int]) -> Before:
    async def before(number: int, body: dict[str, Any]) -> httpx.Response | None:
        await trio.lowlevel.checkpoint()
        return httpx.Response(500, text="injected") if number in numbers else None

    return before


@given(st.integers(0, 99), SIZES, SIZES, CAPS)
@unhurried(40)
def test_a_hedge_has_the_seed_of_what_it_repeats(
    seed: int, width: int, n: int, max_n: int | None
) -> None:
    server = MockServer(latency=1.0)
    config = config_of(seed, width, n, 2)
    search_on(server, config, max_n=max_n, hedge_after=0.6, hedge_share=1.0)
    once = distinct(server.bodies)
    assert len(server.bodies) > len(once)
    assert sorted(samples(server, once)) == expected(config)
