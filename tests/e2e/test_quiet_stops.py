"""What a cancelled search leaves running on llama.cpp without streams: nothing, if nobody else is there.

The server looks for closed connections after a second in which nothing else has happened
(docs/servers.md); to ask it how it is doing is something else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx
import trio

from tests.e2e.bare import LONG, bare_client, remaining
from trio_beam import Endpoint, beam_search

#: Half of what the search would have generated.
HALF = 900
PROMPT = "1, 2, 3, 4, 5, 6,"


async def generated(client: httpx.AsyncClient) -> int:
    """How many tokens the server has generated."""
    lines = (await client.get("/metrics")).text.splitlines()
    (line,) = [one for one in lines if one.startswith("llamacpp:tokens_predicted_total ")]
    return int(float(line.split()[1]))


async def until(condition: Callable[[], Awaitable[bool]], every: float = 0.02) -> None:
    """Wait and ask until it is so; the deadline is the test's."""
    await trio.sleep(every)
    while not await condition():  # noqa: ASYNC110  # another process sets no event
        await trio.sleep(every)


async def cancel_in_the_middle(client: httpx.AsyncClient, base_url: str) -> None:
    """Search until both of its samples are being generated."""

    async def under_way() -> bool:
        return len(await remaining(client)) == 2

    async with Endpoint(base_url) as endpoint, trio.open_nursery() as nursery:
        nursery.start_soon(beam_search, endpoint, PROMPT, LONG)
        await until(under_way)
        nursery.cancel_scope.cancel()
    assert endpoint.statistics().in_flight == 0


async def test_without_streams_a_quiet_server_stops_too(own_embedded_url: str) -> None:
    with trio.fail_after(60):
        async with bare_client(own_embedded_url, timeout=None) as client:

            async def idle() -> bool:
                return not await remaining(client)

            await until(idle)
            before = await generated(client)
            await cancel_in_the_middle(client, own_embedded_url)
            await until(idle, every=2)  # more questions would keep the server from looking
            assert await generated(client) - before < HALF
