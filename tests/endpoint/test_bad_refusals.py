"""Refusals without end or sense: what is learnt from them is tried, but not for ever."""

from __future__ import annotations

import pytest

from tests.endpoint.bad_peer import (
    bad_peer,
    check_recovery,
)
from tests.servers.fault_server import (
    Fault,
    answering,
)
from tests.servers.socket_server import http_answer
from trio_beam import LogprobsUnavailable, RequestRejected


@pytest.mark.parametrize(
    "words",
    [
        "'n' must be at most 3",
        "n must be 0",
        "'n' must be " + "9" * 5000,
        "logprobs must be at most 0, 'n' at most -1",
    ],
)
async def test_a_limit_that_is_refused_as_well(words: str) -> None:
    """What is learnt from a refusal is tried, but not for ever."""
    fault = answering({"error": {"message": words}}, status="400 Bad Request")
    async with bad_peer(lambda request: fault) as peer:
        error = await peer.error()
        assert type(error) in (RequestRejected, LogprobsUnavailable)
        assert len(peer.server.requests) <= 12
        await check_recovery(peer)


NESTED = {
    "the body": b"%s",
    "the error": b'{"error":%s}',
    "the message": b'{"error":{"message":%s}}',
    "the code": b'{"error":{"message":"no","code":%s}}',
}


@pytest.mark.parametrize("template", NESTED.values(), ids=NESTED)
async def test_a_refusal_nested_as_deeply_as_can_be_read(template: bytes) -> None:
    """What can just be decoded must not break what is done with it."""
    depth = 0

    def pieces(right: bytes) -> list[bytes]:
        body = template % (b'{"a":' * depth + b"1" + b"}" * depth)
        return [http_answer(body, status="401 Unauthorized")]

    async with bad_peer(lambda request: Fault(pieces)) as peer:
        for depth in (*range(800, 1000), 100_000):
            assert type(await peer.error()) is RequestRejected, depth
        await check_recovery(peer)
