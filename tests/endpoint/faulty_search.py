"""Searches against a faulty server, and how they are held against undisturbed ones."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio

from tests.endpoint.fault_cases import (
    Case,
)
from tests.servers.fault_server import (
    HEALTHY,
    Fault,
    FaultServer,
    Request,
    always,
    fault_server,
)
from tests.servers.mock_server import at_rest
from trio_beam import (
    BeamSearchConfig,
    ConnectionFailed,
    Endpoint,
    EndpointError,
    MalformedResponse,
    RetryPolicy,
    SearchResult,
    beam_search,
)

#: Three rounds; in the second and the third two requests at the same time.
CONFIG = BeamSearchConfig(
    beam_width=2, n_per_beam=2, tokens_per_step=3, max_tokens=9, seed=1, early_stopping=False
)
#: One request after the other, so that all go over one connection while it is kept.
NARROW = attrs.evolve(CONFIG, beam_width=1)
DROPPING = attrs.evolve(CONFIG, on_beam_failure="drop_beam")
POLICY = RetryPolicy(attempts=3, wait_initial=0.001, wait_max=0.002)


def open_endpoint(url: str, **options: Any) -> Endpoint:
    settings: dict[str, Any] = {"model": "m", "dialect": "openai", "retry": POLICY}
    return Endpoint(url, **settings | options)


@asynccontextmanager
async def searching(
    case: Case, script: Callable[[Request], Fault], *, limit: float = 0.3
) -> AsyncIterator[tuple[Endpoint, FaultServer]]:
    """An endpoint on a faulty server; behind the block nothing may be left of either.

    A slow fault ends after `limit` seconds, in which whatever else is asked for must be answered.
    """
    with trio.fail_after(20):
        async with fault_server(script) as server:
            seconds = limit if case.slow else 10
            async with open_endpoint(server.url, attempt_timeout=seconds) as endpoint:
                yield endpoint, server
                at_rest(endpoint)
            assert endpoint.statistics().open_connections == 0
            await server.left()


async def undisturbed(config: BeamSearchConfig, prompt: str = "p") -> SearchResult:
    with trio.fail_after(20):
        async with fault_server(always(HEALTHY)) as server, open_endpoint(server.url) as endpoint:
            return await beam_search(endpoint, prompt, config)


def found(result: SearchResult) -> list[tuple[str, float]]:
    return [(beam.text, beam.score) for beam in result.beams]


def check_same(
    result: SearchResult, right: SearchResult, *, retries: int, lost: int = 0, spent: int = 0
) -> None:
    """The same beams at the same cost, but for the requests that were repeated, given up or in vain."""
    assert found(result) == found(right)
    assert result.failures == ()
    changed = attrs.evolve(
        right.usage,
        requests=right.usage.requests + retries,
        retries=retries,
        cancelled=lost,
        unpriced=right.usage.unpriced + spent,
    )
    assert result.usage == changed


def check_error(error: EndpointError, case: Case, server: FaultServer, attempts: int) -> None:
    assert type(error) is case.kind
    assert error.url == f"{server.url}/completions"
    assert str(error).startswith(error.url)
    assert re.search(case.words, error.message)
    assert error.attempts == attempts
    assert ("after 3 attempts" in str(error)) == (attempts == 3)


def spent_in_vain(case: Case, count: int) -> int:
    """For how many of so many failed attempts the server may have worked, and want to be paid."""
    return (
        count
        if issubclass(case.kind, (ConnectionFailed, MalformedResponse))
        else timeouts(case, count)
    )


def timeouts(case: Case, count: int) -> int:
    """How many attempts were given up, of so many that met the fault."""
    return count if case.slow else 0
