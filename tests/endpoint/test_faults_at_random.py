"""Many faults at the same time, at random."""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable

import attrs
import pytest
import trio

from tests.endpoint.fault_cases import (
    FAULTS,
    TRANSIENT,
    Case,
)
from tests.endpoint.faulty_search import (
    CONFIG,
    POLICY,
    found,
    open_endpoint,
    undisturbed,
)
from tests.servers.fault_server import (
    HEALTHY,
    Fault,
    Request,
    fault_server,
)
from tests.servers.mock_server import at_rest
from trio_beam import (
    SearchFailed,
    SearchResult,
    beam_search,
)

WIDE = attrs.evolve(CONFIG, beam_width=5, max_tokens=15, on_beam_failure="drop_beam")


def at_random(seed: int, cases: list[Case], share: float = 0.3) -> Callable[[Request], Fault]:
    """Faults for that share of the requests, whatever the order in which they come."""

    def script(request: Request) -> Fault:
        source = random.Random(f"{seed}|{request.body}|{request.repeat}")
        if source.random() >= share:
            return HEALTHY
        return source.choice(cases).fault

    return script


@pytest.mark.parametrize("seed", range(4))
async def test_faults_at_random_that_pass(seed: int) -> None:
    cases = list(TRANSIENT.values())
    right = await undisturbed(WIDE)
    with trio.fail_after(20):
        async with fault_server(at_random(seed, cases)) as server:
            async with open_endpoint(
                server.url,
                attempt_timeout=0.2,
                retry=attrs.evolve(POLICY, attempts=12),
                max_n=1,
            ) as endpoint:
                result = await beam_search(endpoint, "p", WIDE)
                assert found(result) == found(right)
                assert (result.failures, result.stop_reason) == ((), "max_tokens")
                assert result.usage.completion_tokens == right.usage.completion_tokens
                statistics = endpoint.statistics()
                # The silent repetitions on kept connections are no attempts.
                assert len(server.requests) >= statistics.attempts == result.usage.requests
                assert statistics.retries == result.usage.retries > 5
                at_rest(endpoint)
            await server.left()


async def ended(search: Awaitable[SearchResult]) -> SearchResult:
    """What it found, or what it had found until it failed."""
    try:
        return await search
    except SearchFailed as error:
        return error.partial


@pytest.mark.parametrize("seed", range(8))
async def test_faults_of_all_kinds_at_random(seed: int) -> None:
    """Either it ends with as many beams as were asked for, or it says why it could not."""
    kinds = {case.kind for case in FAULTS.values()}
    with trio.fail_after(20):
        async with fault_server(at_random(seed, list(FAULTS.values()))) as server:
            async with open_endpoint(server.url, attempt_timeout=0.2) as endpoint:
                result = await ended(beam_search(endpoint, "p", WIDE))
                if result.stop_reason == "failed":
                    assert result.failures
                else:
                    assert (result.stop_reason, result.rounds) == ("max_tokens", 5)
                    assert len(result.beams) == 5
                    for beam in result.beams:
                        assert beam.length == 15 or beam.finish_reason == "context"
                assert {type(failure.error) for failure in result.failures} <= kinds
                assert result.usage.retries == endpoint.statistics().retries
                assert math.isfinite(sum(beam.score for beam in result.beams))
                at_rest(endpoint)
            assert endpoint.statistics().open_connections == 0
            await server.left()
