"""An `httpx.AsyncClient` that sends nothing: its requests are answered from what is known already."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import httpx
import trio


class KnownAnswer(NamedTuple):
    """The answer to a request: its HTTP status and its body."""

    status: int
    body: bytes


#: Given the method, the path and the body of a request, returns its answer; None if there is none yet.
LookUp: TypeAlias = Callable[[str, str, bytes], KnownAnswer | None]
#: Whatever pause an answer asks for, it was over before the answer was read.
_NO_PAUSE = {"content-type": "application/json", "retry-after-ms": "0"}


def answering_client(look_up: LookUp) -> httpx.AsyncClient:
    """Return a client whose requests are answered by a function, or wait until they are cancelled."""
    return httpx.AsyncClient(transport=_Answers(look_up), trust_env=False)


class _Answers(httpx.AsyncBaseTransport):
    def __init__(self, look_up: LookUp) -> None:
        self._look_up = look_up

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        found = self._look_up(request.method, request.url.path, body)
        if found is None:
            await trio.sleep_forever()
            raise AssertionError
        return httpx.Response(found.status, headers=_NO_PAUSE, content=found.body)
