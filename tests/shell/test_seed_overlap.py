"""Every sample of a search has a seed of its own; the same request again, the same seeds."""

from __future__ import annotations

from typing import Any

import attrs
import httpx
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.shell.mock_server import Before, MockServer, answering
from trio_beam import BeamSearchConfig, RetryPolicy, beam_search

CONFIG = BeamSearchConfig(
    beam_width=3, n_per_beam=2, tokens_per_step=2, max_tokens=8, early_stopping=False, seed=5
)


def seeds_of(body: dict[str, Any]) -> range:
    """Choice i is sampled with seed + i."""
    return range(body["seed"], body["seed"] + body.get("n", 1))


@given(
    width=st.integers(1, 5),
    n=st.integers(1, 5),
    rounds=st.integers(1, 5),
    max_n=st.none() | st.integers(1, 6),
    n_cap=st.none() | st.integers(1, 6),
    seed=st.integers(0, 2**40),
)
def test_no_two_requests_overlap_in_seeds(
    width: int, n: int, rounds: int, max_n: int | None, n_cap: int | None, seed: int
) -> None:
    """Where the server gives fewer choices than asked, what was asked for in vain is asked for again."""
    server = MockServer(n_cap=n_cap)
    config = attrs.evolve(
        CONFIG,
        beam_width=width,
        n_per_beam=n,
        max_tokens=2 * rounds,
        seed=seed,
        deduplicate=False,
    )

    async def main() -> None:
        async with server.endpoint(max_n=max_n) as endpoint:
            await beam_search(endpoint, "p", config)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    given_seeds = [
        seed for body in server.bodies for seed in seeds_of(body)[: n_cap or body.get("n", 1)]
    ]
    assert len(given_seeds) == len(set(given_seeds)) == width * n * rounds
    assert max(given_seeds) < 2**31


async def _bodies(before: Before | None, **options: Any) -> list[dict[str, Any]]:
    server = MockServer(before)
    async with server.endpoint(**options) as endpoint:
        await beam_search(endpoint, "p", CONFIG)
    return server.bodies


async def test_a_retry_and_a_hedge_keep_the_seed(autojump_clock: MockClock) -> None:
    undisturbed = await _bodies(None)

    async def late(number: int, body: dict[str, Any]) -> None:
        await trio.sleep(100 if number == 2 else 0)

    retried = await _bodies(
        answering(lambda: httpx.Response(500), 2), retry=RetryPolicy(wait_initial=1)
    )
    hedged = await _bodies(late, hedge_after=5, hedge_share=1)
    for bodies in (retried, hedged):
        assert len(bodies) == len(undisturbed) + 1
        assert bodies.count(bodies[2]) == 2
        assert all(body in undisturbed for body in bodies)
