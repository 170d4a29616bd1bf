"""What a cancelled search leaves running on a real llama.cpp server: with streams, nothing."""

from __future__ import annotations

import httpx
import pytest
import trio

from tests.e2e.bare import LONG, bare_client, remaining
from trio_beam import Endpoint, beam_search


@pytest.mark.parametrize("busy", [False, True])
async def test_a_stream_that_is_cancelled_frees_the_server(
    own_embedded_url: str, busy: bool
) -> None:
    """Another client keeps the server busy: without a stream, it would not look at the connection."""

    async def keep_busy(client: httpx.AsyncClient) -> None:
        body = {"prompt": "Count:", "n_predict": 4}
        while True:
            (await client.post("/completion", json=body)).raise_for_status()

    async def long_ones(client: httpx.AsyncClient) -> list[int]:
        """Tokens that are still to come of each long text."""
        return [count for count in (await remaining(client)).values() if count > 10]

    with trio.fail_after(120):
        async with (
            bare_client(own_embedded_url, timeout=60) as client,
            Endpoint(own_embedded_url, stream=True) as endpoint,
            trio.open_nursery() as nursery,
        ):
            if busy:
                nursery.start_soon(keep_busy, client)
            async with trio.open_nursery() as searching:
                searching.start_soon(beam_search, endpoint, "Once upon a time", LONG)
                while len(await long_ones(client)) < 2:  # noqa: ASYNC110  # of another process
                    await trio.sleep(0.05)
                searching.cancel_scope.cancel()
            last = [900]
            while left := await long_ones(client):
                last = left
                await trio.sleep(0.05)
            assert min(last) > 450  # given up, and not run to the end
            assert endpoint.statistics().in_flight == 0
            nursery.cancel_scope.cancel()
