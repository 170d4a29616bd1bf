"""The transport on real sockets: what is kept, what is closed, and what the server sees."""

from __future__ import annotations

import gzip
import json
import zlib

import attrs
import httpx
import pytest
import trio

from tests.servers.mock_server import completion
from tests.servers.socket_server import (
    answer_forever,
    http_answer,
    raw_server,
    read_request,
    wait_for_disconnect,
)
from trio_beam import (
    BeamSearchConfig,
    ConnectionFailed,
    Endpoint,
    MalformedResponse,
    RetryPolicy,
    SearchFailed,
    beam_search,
    beam_search_within,
)
from trio_beam.http.transport import TrioTransport

CONFIG = BeamSearchConfig(
    beam_width=3,
    n_per_beam=1,
    tokens_per_step=2,
    max_tokens=6,
    seed=1,
    early_stopping=False,
    deduplicate=False,
)
ONCE = RetryPolicy(attempts=1)


def open_endpoint(url: str, **options: object) -> Endpoint:
    return Endpoint(url, model="m", dialect="openai", **{"retry": ONCE, **options})  # type: ignore[arg-type]


async def test_connections_are_kept_and_closed_with_the_endpoint() -> None:
    with trio.fail_after(20):
        async with raw_server(answer_forever) as server:
            async with open_endpoint(server.url) as endpoint:
                await beam_search(endpoint, "p", CONFIG)
                await beam_search(endpoint, "p", CONFIG)
                assert server.connections == 3
                assert endpoint.statistics().open_connections == 3
            assert endpoint.statistics().open_connections == 0
            await server.disconnected.wait()


async def test_the_server_sees_a_cancelled_beam_go() -> None:
    async def hang(stream: trio.SocketStream, number: int) -> None:
        await read_request(stream)
        await wait_for_disconnect(stream)

    with trio.fail_after(20):
        async with raw_server(hang) as server, open_endpoint(server.url) as endpoint:
            result = await beam_search_within(0.2, endpoint, "p", CONFIG)
            assert result.stop_reason == "deadline"
            assert endpoint.statistics().open_connections == 0
            await server.disconnected.wait()


async def test_the_siblings_of_a_failed_beam_are_closed_at_once() -> None:
    async def second_round_fails(stream: trio.SocketStream, number: int) -> None:
        body = await read_request(stream)
        await stream.send_all(http_answer(completion(body)))
        if number == 0:
            await read_request(stream)
            await trio.sleep(0.1)  # the siblings are under way by then
            await stream.send_all(http_answer({}, status="401 Unauthorized"))
        await wait_for_disconnect(stream)

    async def handler(stream: trio.SocketStream, number: int) -> None:
        if number == 0:
            await second_round_fails(stream, number)
        await read_request(stream)
        await wait_for_disconnect(stream)

    with trio.fail_after(20):
        async with raw_server(handler) as server, open_endpoint(server.url) as endpoint:
            with pytest.raises(SearchFailed):
                await beam_search(endpoint, "p", CONFIG)
            # The one that was refused may be kept; the two that hung are gone.
            open_connections = endpoint.statistics().open_connections
            assert open_connections is not None
            assert open_connections <= 1
            await server.disconnected.wait()


async def test_a_connection_that_the_server_closed_while_idle_costs_nothing() -> None:
    async def once(stream: trio.SocketStream, number: int) -> None:
        body = await read_request(stream)
        await stream.send_all(http_answer(completion(body)))

    with trio.fail_after(20):
        async with raw_server(once) as server, open_endpoint(server.url) as endpoint:
            result = await beam_search(endpoint, "p", CONFIG)
            assert result.usage.retries == 0
            assert server.connections == 7


BROKEN = {
    "closed without an answer": b"",
    "closed in the head": b"HTTP/1.1 200 OK\r\ncontent-le",
    "closed in the body": b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{",
    "closed in a chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n20\r\n{",
    "not HTTP": b"hello\r\n\r\n",
    "a head without end": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000,
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN.keys())
async def test_broken_answers_are_connection_failures(answer: bytes) -> None:
    async def broken(stream: trio.SocketStream, number: int) -> None:
        await read_request(stream)
        if answer:
            await stream.send_all(answer)

    with trio.fail_after(20):
        async with raw_server(broken) as server, open_endpoint(server.url) as endpoint:
            with pytest.raises(SearchFailed) as caught:
                await beam_search(endpoint, "p", CONFIG)
            assert endpoint.statistics().open_connections == 0
    error = caught.value.failures[0].error
    assert isinstance(error, ConnectionFailed)
    assert str(error).startswith(server.url)


async def test_chunks_early_hints_and_one_byte_at_a_time() -> None:
    async def slowly(stream: trio.SocketStream, number: int) -> None:
        while True:
            body = await read_request(stream)
            data = http_answer(completion(body)).partition(b"\r\n\r\n")[2]
            chunks = b"".join(b"%x\r\n%c\r\n" % (1, byte) for byte in data) + b"0\r\n\r\n"
            head = b"HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\nHTTP/1.1 200 OK\r\n"
            answer = head + b"transfer-encoding: chunked\r\n\r\n" + chunks
            for start in range(0, len(answer), 7):
                await stream.send_all(answer[start : start + 7])

    with trio.fail_after(20):
        async with raw_server(slowly) as server, open_endpoint(server.url) as endpoint:
            result = await beam_search(endpoint, "p", CONFIG)
            assert server.connections == 3
    async with raw_server(answer_forever) as server, open_endpoint(server.url) as endpoint:
        assert (await beam_search(endpoint, "p", CONFIG)).text == result.text


async def test_an_answer_that_asks_to_close_is_not_kept() -> None:
    async def close(stream: trio.SocketStream, number: int) -> None:
        body = await read_request(stream)
        await stream.send_all(http_answer(completion(body), headers="connection: close\r\n"))
        await wait_for_disconnect(stream)

    with trio.fail_after(20):
        async with raw_server(close) as server, open_endpoint(server.url) as endpoint:
            await beam_search(endpoint, "p", CONFIG)
            assert endpoint.statistics().open_connections == 0


async def test_an_expired_connection_is_not_used_again() -> None:
    with trio.fail_after(20):
        async with raw_server(answer_forever) as server:
            async with open_endpoint(server.url, keepalive_expiry=0) as endpoint:
                await beam_search(endpoint, "p", CONFIG)
            assert server.connections == 7


async def test_a_body_that_is_not_read_to_its_end_closes_its_connection() -> None:
    async def trickle(stream: trio.SocketStream, number: int) -> None:
        await read_request(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
        await wait_for_disconnect(stream)

    with trio.fail_after(20):
        transport = TrioTransport()
        async with raw_server(trickle) as server, httpx.AsyncClient(transport=transport) as client:
            async with client.stream("GET", server.url) as response:
                assert response.status_code == 200
                assert transport.open_connections == 1
            assert transport.open_connections == 0
            await server.disconnected.wait()


async def test_nobody_listening_is_said_in_the_systems_words() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    await listeners[0].aclose()
    async with open_endpoint(f"http://127.0.0.1:{port}/v1") as endpoint:
        with pytest.raises(SearchFailed, match=r"cannot connect: Connection refused") as caught:
            await beam_search(endpoint, "p", CONFIG)
        assert endpoint.statistics().open_connections == 0
    assert f"http://127.0.0.1:{port}/v1/completions" in str(caught.value)


async def test_a_host_that_does_not_exist() -> None:
    async with open_endpoint("http://no-such-host.invalid/v1") as endpoint:
        with pytest.raises(SearchFailed, match="cannot connect"):
            await beam_search(endpoint, "p", CONFIG)


async def test_timeouts_of_a_phase() -> None:
    async def hang(stream: trio.SocketStream, number: int) -> None:
        await wait_for_disconnect(stream)

    with trio.fail_after(20):
        transport = TrioTransport()
        async with raw_server(hang) as server, httpx.AsyncClient(transport=transport) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.get(server.url, timeout=httpx.Timeout(None, read=0.1))
            assert transport.open_connections == 0


async def test_many_cancellations_leave_nothing() -> None:
    """Searches cancelled at any moment, the connect included, and then a search that works."""
    with trio.fail_after(60):
        async with raw_server(answer_forever) as server, open_endpoint(server.url) as endpoint:
            for number in range(200):
                await beam_search_within(number / 20_000, endpoint, "p", CONFIG)
                statistics = endpoint.statistics()
                assert statistics.in_flight == statistics.waiting == 0
                assert statistics.open_connections is not None
                assert statistics.open_connections <= 3
            assert (await beam_search(endpoint, "p", CONFIG)).stop_reason == "max_tokens"


async def test_a_request_is_repeated_in_silence_once_at_most() -> None:
    """A server that dies while it works looks like one that closed an idle connection."""
    seen = 0
    dying = False

    async def die(stream: trio.SocketStream, number: int) -> None:
        nonlocal seen
        while True:
            body = await read_request(stream)
            if dying:
                seen += 1
                return
            await stream.send_all(http_answer(completion(body)))

    config = attrs.evolve(CONFIG, beam_width=10, max_tokens=2)
    with trio.fail_after(20):
        async with raw_server(die) as server, open_endpoint(server.url, max_n=1) as endpoint:
            await beam_search(endpoint, "p", config)
            assert endpoint.statistics().open_connections == 10
            dying = True
            with pytest.raises(SearchFailed, match="without an answer"):
                await beam_search(endpoint, "p", attrs.evolve(config, beam_width=1))
    assert seen == 2


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compressed_body(encoding: str) -> None:
    async def compressed(stream: trio.SocketStream, number: int) -> None:
        while True:
            data = json.dumps(completion(await read_request(stream))).encode()
            packed = gzip.compress(data) if encoding == "gzip" else zlib.compress(data)
            await stream.send_all(http_answer(packed, headers=f"content-encoding: {encoding}\r\n"))

    with trio.fail_after(20):
        async with raw_server(compressed) as server, open_endpoint(server.url) as endpoint:
            assert (await beam_search(endpoint, "p", CONFIG)).rounds == 3


async def test_a_body_that_is_no_gzip() -> None:
    async def broken(stream: trio.SocketStream, number: int) -> None:
        while True:
            await read_request(stream)
            await stream.send_all(http_answer(b"hello", headers="content-encoding: gzip\r\n"))

    with trio.fail_after(20):
        async with raw_server(broken) as server, open_endpoint(server.url) as endpoint:
            with pytest.raises(SearchFailed, match="cannot be decoded") as caught:
                await beam_search(endpoint, "p", CONFIG)
    assert isinstance(caught.value.failures[0].error, MalformedResponse)


@pytest.mark.parametrize("head", ["content-length: 2147483648", "transfer-encoding: chunked"])
async def test_an_answer_longer_than_the_limit(head: str) -> None:
    async def endless(stream: trio.SocketStream, number: int) -> None:
        await read_request(stream)
        await stream.send_all(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode())
        while True:
            piece = b"x" * 1024
            await stream.send_all(b"400\r\n%s\r\n" % piece if "chunked" in head else piece)

    with trio.fail_after(20):
        async with (
            raw_server(endless) as server,
            open_endpoint(server.url, max_answer_bytes=10_000) as endpoint,
        ):
            with pytest.raises(SearchFailed, match="longer than 10000 bytes"):
                await beam_search(endpoint, "p", CONFIG)
            assert endpoint.statistics().open_connections == 0
            await server.disconnected.wait()


async def test_a_short_body_that_unpacks_to_a_long_one() -> None:
    async def bomb(stream: trio.SocketStream, number: int) -> None:
        await read_request(stream)
        packed = gzip.compress(b" " * 1_000_000)
        await stream.send_all(http_answer(packed, headers="content-encoding: gzip\r\n"))

    with trio.fail_after(20):
        async with (
            raw_server(bomb) as server,
            open_endpoint(server.url, max_answer_bytes=100_000) as endpoint,
        ):
            with pytest.raises(SearchFailed, match="longer than 100000 bytes"):
                await beam_search(endpoint, "p", CONFIG)


async def test_an_entry_that_was_cancelled_leaves_nothing_open() -> None:
    endpoint = Endpoint("http://127.0.0.1/v1")
    with trio.CancelScope() as scope:
        scope.cancel()
        await endpoint.__aenter__()
    async with endpoint:
        assert endpoint.statistics().open_connections == 0
