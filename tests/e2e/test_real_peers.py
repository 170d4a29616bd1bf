"""An endpoint and the HTTP servers that people run, over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.e2e.asgi_app import KEEPALIVE, App
from tests.e2e.peers import hypercorn, listening, tell, url_of, uvicorn
from tests.servers.mock_server import MockServer
from trio_beam import (
    BeamSearchConfig,
    ConnectionFailed,
    Endpoint,
    RetryPolicy,
    SearchFailed,
    SearchResult,
    beam_search,
)

CONFIG = BeamSearchConfig(
    beam_width=3, n_per_beam=1, tokens_per_step=2, max_tokens=6, seed=1, deduplicate=False
)
SERVERS = ["hypercorn", "h11", "httptools"]


@pytest.fixture(scope="module")
def uvicorns() -> Iterator[dict[str, str]]:
    """uvicorn with each of its two parsers."""
    with uvicorn("h11") as one, uvicorn("httptools") as other:
        yield {"h11": one, "httptools": other}


@asynccontextmanager
async def served(kind: str, uvicorns: dict[str, str]) -> AsyncIterator[str]:
    if kind != "hypercorn":
        await tell(uvicorns[kind], "reset")
        yield uvicorns[kind]
        return
    with listening() as listener:
        async with hypercorn(App(), listener, keep_alive_timeout=KEEPALIVE):
            yield url_of(listener)


def open_endpoint(url: str, **options: object) -> Endpoint:
    retry = RetryPolicy(attempts=2, wait_initial=0, wait_max=0)
    options = {"model": "m", "dialect": "openai", "retry": retry, "max_n": 1} | options
    return Endpoint(url, **options)  # type: ignore[arg-type]


async def is_right(result: SearchResult, prompt: str, config: BeamSearchConfig = CONFIG) -> None:
    """Compare with what comes of the same answers without any server."""
    async with MockServer(latency=0).endpoint(max_n=1) as endpoint:
        expected = await beam_search(endpoint, prompt, config)
    assert [(beam.tokens, beam.score) for beam in result.beams] == [
        (beam.tokens, beam.score) for beam in expected.beams
    ]
    assert result.usage.retries == 0


@asynccontextmanager
async def idle_connection(url: str) -> AsyncIterator[trio.SocketStream]:
    """One that the server has answered on. When it is closed, so are all that were idle before."""
    where = urlsplit(url)
    assert where.hostname is not None
    assert where.port is not None
    async with await trio.open_tcp_stream(where.hostname, where.port) as stream:
        await stream.send_all(b"GET /v1/seen HTTP/1.1\r\nhost: x\r\n\r\n")
        await stream.receive_some()
        yield stream


async def closed(stream: trio.SocketStream) -> None:
    while await stream.receive_some():
        pass


def established(url: str) -> int:
    """How many connections to a port the system knows of that neither side has closed."""
    port = f":{urlsplit(url).port:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[1].endswith(port) and line.split()[3] == "01" for line in lines)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("kind", SERVERS)
async def test_connections_are_used_again_until_the_server_closes_them(
    kind: str, uvicorns: dict[str, str]
) -> None:
    with trio.fail_after(20):
        async with served(kind, uvicorns) as url, open_endpoint(url) as endpoint:
            for _ in range(2):
                await is_right(await beam_search(endpoint, "p", CONFIG), "p")
            assert await tell(url, "seen") == {"connections": 3, "requests": 18}
            async with idle_connection(url) as idle:
                await closed(idle)
            await is_right(await beam_search(endpoint, "p", CONFIG), "p")
            assert await tell(url, "seen") == {"connections": 6, "requests": 27}
            assert endpoint.statistics().retries == 0
        assert endpoint.statistics().open_connections == 0


@pytest.mark.parametrize("kind", SERVERS)
async def test_two_hundred_requests_at_the_same_time(kind: str, uvicorns: dict[str, str]) -> None:
    """The server answers none before it has them all."""
    config = attrs.evolve(CONFIG, beam_width=200, max_tokens=2)  # in one round, none is used again
    before = descriptors()
    with trio.fail_after(20):
        async with served(kind, uvicorns) as url:
            await tell(url, "reset", 200)
            async with open_endpoint(url, max_concurrent=200) as endpoint:
                await is_right(await beam_search(endpoint, "p", config), "p", config)
                assert (await tell(url, "seen"))["connections"] == 200
            assert endpoint.statistics().open_connections == 0
    assert descriptors() == before


@pytest.mark.parametrize("kind", SERVERS)
async def test_the_app_sees_a_cancelled_search_go(kind: str, uvicorns: dict[str, str]) -> None:
    with trio.fail_after(20):
        async with (
            served(kind, uvicorns) as url,
            open_endpoint(url) as endpoint,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(beam_search, endpoint, "hang", CONFIG)
            await tell(url, "arrived", 3)
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 10):
                await tell(url, "gone", 3)
        statistics = endpoint.statistics()
        assert (statistics.in_flight, statistics.waiting, statistics.cancelled) == (0, 0, 3)


@pytest.mark.parametrize("kind", SERVERS)
async def test_no_connection_is_left_at_the_server(kind: str, uvicorns: dict[str, str]) -> None:
    with trio.fail_after(20):
        async with served(kind, uvicorns) as url:
            async with open_endpoint(url) as endpoint:
                await beam_search(endpoint, "p", CONFIG)
                assert established(url) == 3
            assert established(url) == 0


async def test_a_server_that_limits_the_requests_of_a_connection() -> None:
    app = App()
    with trio.fail_after(20), listening() as listener:
        async with (
            hypercorn(app, listener, keep_alive_max_requests=3),
            open_endpoint(url_of(listener)) as endpoint,
        ):
            for _ in range(5):
                await is_right(await beam_search(endpoint, "p", CONFIG), "p")
            assert app.requests == 45
            assert len(app.clients) >= 15


@asynccontextmanager
async def connected_to(url: str, **options: object) -> AsyncIterator[Endpoint]:
    """An endpoint that, when it is closed, has nothing left."""
    async with open_endpoint(url, **options) as endpoint:
        yield endpoint
    statistics = endpoint.statistics()
    assert (statistics.in_flight, statistics.waiting, statistics.open_connections) == (0, 0, 0)


async def test_a_server_that_shuts_down_gracefully() -> None:
    """The round that is under way gets its answers; the next one finds nobody."""
    app = App()
    with trio.fail_after(20), listening() as listener:
        failed: list[SearchFailed] = []
        async with connected_to(url_of(listener)) as endpoint, trio.open_nursery() as nursery:

            async def search() -> None:
                with pytest.raises(SearchFailed) as caught:
                    await beam_search(endpoint, "hold", CONFIG)
                failed.append(caught.value)

            async with hypercorn(app, listener) as shutdown:
                listener.close()
                nursery.start_soon(search)
                await app.arrived.wait(3)
                shutdown.set()
                await wait_all_tasks_blocked()
                app.released.set()
    assert isinstance(failed[0].failures[0].error, ConnectionFailed)
    assert "cannot connect" in str(failed[0])
    assert [beam.length for beam in failed[0].partial.beams] == [2, 2, 2]


async def test_a_server_that_is_replaced_during_a_search() -> None:
    """The old one finishes its round; what connects meanwhile waits for the new one."""
    old, new = App(), App()
    found: list[SearchResult] = []
    done = trio.Event()
    new.released.set()
    with trio.fail_after(20), listening() as listener:
        async with connected_to(url_of(listener)) as endpoint, trio.open_nursery() as nursery:

            async def search() -> None:
                found.append(await beam_search(endpoint, "hold", CONFIG))
                done.set()

            async with hypercorn(old, listener) as shutdown:
                nursery.start_soon(search)
                await old.arrived.wait(3)
                shutdown.set()
                await wait_all_tasks_blocked()
                old.released.set()
            async with hypercorn(new, listener):
                await done.wait()
    await is_right(found[0], "hold")
    assert (old.requests, new.requests) == (3, 6)
