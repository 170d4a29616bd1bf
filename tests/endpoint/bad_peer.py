"""A server that misbehaves until it is cured, and searches against it in bounded memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeAlias

import trio

from tests.servers.fault_server import (
    HEALTHY,
    Fault,
    FaultServer,
    Request,
    fault_server,
)
from tests.servers.mock_server import at_rest
from trio_beam import (
    BeamSearchConfig,
    Endpoint,
    EndpointError,
    RetryPolicy,
    SearchFailed,
    SearchResult,
    beam_search,
)
from trio_beam.core.prompt import PromptLike

CONFIG = BeamSearchConfig(
    beam_width=2, n_per_beam=2, tokens_per_step=3, max_tokens=6, seed=1, early_stopping=False
)
POLICY = RetryPolicy(attempts=2, wait_initial=0.001, wait_max=0.002)
MESSAGES: PromptLike = [{"role": "user", "content": "p"}]
MEGABYTE = 2**20

#: Makes bad JSON of a right answer.
Spoil: TypeAlias = Callable[[bytes], bytes]

NOT_JSON = "not JSON"
DEEP = b"[" * 100_000


class Peer:
    """A server that misbehaves until it is well, and an endpoint on it."""

    def __init__(self, server: FaultServer, endpoint: Endpoint, cure: Callable[[], None]) -> None:
        self.server = server
        self.endpoint = endpoint
        self.cure = cure

    async def search(self, prompt: PromptLike = "p") -> SearchResult | EndpointError:
        """What a search finds, or what its first failure is; at rest in either case."""
        try:
            return await beam_search(self.endpoint, prompt, CONFIG)
        except SearchFailed as error:
            return error.failures[0].error
        finally:
            at_rest(self.endpoint)

    async def error(self, prompt: PromptLike = "p") -> EndpointError:
        """The error in which a search must end."""
        outcome = await self.search(prompt)
        assert isinstance(outcome, EndpointError)
        return outcome

    async def result(self, prompt: PromptLike = "p") -> SearchResult:
        """The result in which a search must end."""
        outcome = await self.search(prompt)
        assert isinstance(outcome, SearchResult)
        return outcome


@asynccontextmanager
async def bad_peer(script: Callable[[Request], Fault], **options: Any) -> AsyncIterator[Peer]:
    """Everything under a deadline, and nothing left behind."""
    settings: dict[str, Any] = {"model": "m", "dialect": "openai", "retry": POLICY}
    well = False

    def cure() -> None:
        nonlocal well
        well = True

    with trio.fail_after(10):
        async with fault_server(lambda request: HEALTHY if well else script(request)) as server:
            async with Endpoint(server.url, **settings | options) as endpoint:
                yield Peer(server, endpoint, cure)
                at_rest(endpoint)
            assert endpoint.statistics().open_connections == 0
            await server.left()


def found(result: SearchResult) -> list[tuple[str, float]]:
    return [(beam.text, beam.score) for beam in result.beams]


async def check_recovery(peer: Peer) -> None:
    """The next search on the same endpoint is right."""
    async with bad_peer(lambda request: HEALTHY) as healthy:
        right = await healthy.result()
    peer.cure()
    assert found(await peer.result()) == found(right)


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """No more than so many bytes are allocated at any time in the block."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= size


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


def endless(first: bytes, piece: bytes) -> Fault:
    """A beginning, and then the same again and again."""

    def pieces(right: bytes) -> Iterator[bytes]:
        yield first
        while True:
            yield piece

    return Fault(pieces)


LONG = b"x" * 65536
