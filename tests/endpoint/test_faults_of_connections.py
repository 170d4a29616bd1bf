"""Faults before there is a request, and while a long one is being sent."""

from __future__ import annotations

from contextlib import suppress

import attrs
import pytest
import trio

from tests.endpoint.fault_cases import (
    TIMED_OUT,
)
from tests.endpoint.faulty_search import (
    CONFIG,
    NARROW,
    POLICY,
    check_same,
    open_endpoint,
    undisturbed,
)
from tests.servers.fault_server import (
    reset,
)
from tests.servers.mock_server import at_rest
from tests.servers.socket_server import (
    answer_forever,
    http_answer,
    raw_server,
    wait_for_disconnect,
)
from trio_beam import (
    AttemptTimeout,
    ConnectionFailed,
    RequestRejected,
    SearchFailed,
    beam_search,
)
from trio_beam.core.events import Event
from trio_beam.core.request_events import RequestRetried


async def test_a_server_that_listens_only_at_the_second_attempt() -> None:
    """A port that is bound and not listened on refuses."""
    sock = trio.socket.socket()
    await sock.bind(("127.0.0.1", 0))
    listening = trio.Event()

    def listen(event: Event) -> None:
        if isinstance(event, RequestRetried):
            assert isinstance(event.error, ConnectionFailed)
            assert event.error.never_sent
            sock.listen()
            listening.set()

    async def answer(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await answer_forever(stream, 0)

    async def serve() -> None:
        await listening.wait()
        await trio.serve_listeners(answer, [trio.SocketListener(sock)])

    right = await undisturbed(NARROW)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            url = f"http://127.0.0.1:{sock.getsockname()[1]}/v1"
            async with open_endpoint(url) as endpoint:
                result = await beam_search(endpoint, "p", NARROW, observers=[listen])
                check_same(result, right, retries=1)
                at_rest(endpoint)
            nursery.cancel_scope.cancel()


async def test_a_server_that_never_listens() -> None:
    sock = trio.socket.socket()
    await sock.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{sock.getsockname()[1]}/v1"
    with sock, trio.fail_after(20):
        async with open_endpoint(url) as endpoint:
            with pytest.raises(SearchFailed, match="cannot connect: Connection refused") as caught:
                await beam_search(endpoint, "p", CONFIG)
            at_rest(endpoint)
            statistics = endpoint.statistics()
            assert (statistics.attempts, statistics.retries) == (3, 2)
            assert statistics.open_connections == 0
        [failure] = caught.value.failures
        assert type(failure.error) is ConnectionFailed
        assert failure.error.never_sent
        assert failure.attempts == 3


# -- while the request is sent: longer than what the buffers of both sides take

LONG_PROMPT = "x" * (8 * 2**20)
ONE_ROUND = attrs.evolve(CONFIG, max_tokens=3)


async def test_a_server_that_never_reads() -> None:
    released = trio.Event()

    async def never_read(stream: trio.SocketStream, number: int) -> None:
        await released.wait()
        await wait_for_disconnect(stream)

    with trio.fail_after(20):
        async with raw_server(never_read) as server:
            async with open_endpoint(
                server.url, attempt_timeout=0.3, retry=attrs.evolve(POLICY, attempts=2)
            ) as endpoint:
                with pytest.raises(SearchFailed, match=TIMED_OUT) as caught:
                    await beam_search(endpoint, LONG_PROMPT, ONE_ROUND)
                at_rest(endpoint)
                statistics = endpoint.statistics()
                assert (statistics.attempts, statistics.cancelled) == (2, 2)
                assert statistics.open_connections == 0
            released.set()
            await server.empty.wait()
    [failure] = caught.value.failures
    assert type(failure.error) is AttemptTimeout


@pytest.mark.parametrize("then", ["fin", "rst"])
async def test_a_server_that_refuses_before_it_has_read_all(then: str) -> None:
    async def refuse(stream: trio.SocketStream, number: int) -> None:
        await stream.receive_some()
        await stream.send_all(http_answer({"error": "far too long"}, status="413 Too Large"))
        if then == "rst":
            reset(stream)

    with trio.fail_after(20):
        async with raw_server(refuse) as server:
            async with open_endpoint(server.url) as endpoint:
                with pytest.raises(SearchFailed, match="HTTP 413: far too long") as caught:
                    await beam_search(endpoint, LONG_PROMPT, ONE_ROUND)
                at_rest(endpoint)
            await server.empty.wait()
            assert server.connections == 1
    [failure] = caught.value.failures
    assert type(failure.error) is RequestRejected
