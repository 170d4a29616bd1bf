"""The end of a gateway: no more requests, and the best so far where the time is up."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import trio

from tests.gateway.serving import ask, connected, gateway_over, post, serving
from tests.gateway.test_hostile_clients import BODY, PATH
from trio_beam import SampleRequest
from trio_beam.gateway.limits import Limits
from trio_beam.testing import FakeEndpoint


async def test_it_takes_no_more_after_the_stop_and_finishes_what_runs() -> None:
    model = FakeEndpoint(latency=0.3)
    gateway = gateway_over(model)
    found: list[int] = []

    async def one(url: str) -> None:
        found.append((await ask(url, "POST", PATH, BODY)).status_code)

    async with trio.open_nursery() as nursery:
        async with serving(gateway) as url:
            nursery.start_soon(one, url)  # noqa: ASYNC111  # answered when it has stopped
            while not model.in_flight:  # noqa: ASYNC110
                await trio.sleep(0.01)
        with pytest.raises(OSError, match="127"):
            await trio.open_tcp_stream("127.0.0.1", int(url.split(":")[2].split("/")[0]))
    assert found == [200]


@pytest.mark.parametrize("streamed", [False, True])
async def test_what_runs_after_the_grace_returns_the_best_so_far(streamed: bool) -> None:
    held = trio.Event()

    async def before(request: SampleRequest) -> None:
        if request.beam.length >= 2:
            held.set()
            await trio.sleep_forever()

    model = FakeEndpoint(before=before)
    body = {**BODY, "model": "m@beam-2x2", "max_tokens": 12, "search": {"tokens_per_step": 2}}
    texts: list[str] = []

    async def one(url: str) -> None:
        found = await ask(url, "POST", PATH, {**body, "stream": streamed})
        assert found.status_code == 200
        texts.append(found.text)

    async with trio.open_nursery() as nursery, serving(gateway_over(model), grace=0.1) as url:
        nursery.start_soon(one, url)  # noqa: ASYNC111  # answered when it has stopped
        await held.wait()
    assert model.in_flight == 0
    (text,) = texts
    assert '"stop_reason":"interrupted"' in text
    if streamed:
        assert text.endswith("data: [DONE]\n\n")
    else:
        (choice,) = json.loads(text)["choices"]
        assert choice["message"]["content"]
        assert choice["finish_reason"] == "length"


async def test_where_nothing_has_come_it_says_that_it_stops() -> None:
    model = FakeEndpoint(latency=math.inf)
    found: list[Any] = []

    async def one(url: str) -> None:
        found.append(await ask(url, "POST", PATH, BODY))

    async with trio.open_nursery() as nursery:
        gateway = gateway_over(model, limits=Limits(max_searches=1))
        async with serving(gateway, grace=0.1) as url:
            for _ in range(2):  # one waits for its turn
                nursery.start_soon(one, url)  # noqa: ASYNC111
            while not gateway.admission.waiting:  # noqa: ASYNC110
                await trio.sleep(0.01)
    assert [one.status_code for one in found] == [503, 503]
    assert found[0].json()["error"]["code"] == "stopping"
    assert (model.in_flight, model.cancelled) == (0, 1)


async def test_who_sends_no_request_does_not_keep_it() -> None:
    async with serving(gateway_over(FakeEndpoint()), grace=0.1) as url, connected(url) as idle:
        await idle.send_all(post(PATH, BODY)[:-5])


async def answered(connection: trio.SocketStream, streamed: bool) -> None:
    await connection.send_all(post(PATH, {**BODY, "stream": streamed}))
    received = b""
    while not received.endswith(b"0\r\n\r\n" if streamed else b"}"):
        part = await connection.receive_some()
        assert part, received
        received += part


@pytest.mark.parametrize("streamed", [False, True])
async def test_connections_kept_alive_end_when_idle_and_at_the_stop(streamed: bool) -> None:
    idle = gateway_over(FakeEndpoint(), limits=Limits(max_send_time=0.3))
    async with serving(idle, grace=1e6) as url, connected(url) as connection:
        await answered(connection, streamed)
        await answered(connection, streamed)
        assert await connection.receive_some() == b""
    async with serving(gateway_over(FakeEndpoint()), grace=1e6) as url:
        connection = await trio.open_tcp_stream("127.0.0.1", int(url.split(":")[2].split("/")[0]))
        await answered(connection, streamed)
    await connection.aclose()
