"""The same seed gives the same result, whatever the timing and the concurrency."""

from __future__ import annotations

import random
from typing import Any

import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.servers.mock_server import MockServer
from trio_beam import BeamSearchConfig, SearchResult, beam_search

CONFIG = BeamSearchConfig(
    beam_width=4, n_per_beam=3, tokens_per_step=2, max_tokens=8, seed=99, early_stopping=False
)


def search(jitter: int, max_concurrent: int, n_cap: int) -> SearchResult:
    source = random.Random(jitter)

    async def before(number: int, body: dict[str, Any]) -> None:
        await trio.sleep(source.uniform(0, 100))

    async def main() -> SearchResult:
        server = MockServer(before, n_cap=n_cap)
        async with server.endpoint(max_concurrent=max_concurrent) as endpoint:
            return await beam_search(endpoint, "p", CONFIG)

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def shape(result: SearchResult) -> list[tuple[str, float]]:
    return [(beam.text, beam.score) for beam in result.beams]


@given(st.integers(), st.integers(1, 20), st.integers(1, 12))
@settings(max_examples=40)
def test_order_of_arrival_changes_nothing(jitter: int, max_concurrent: int, n_cap: int) -> None:
    assert shape(search(jitter, max_concurrent, n_cap)) == shape(search(0, 100, 12))
