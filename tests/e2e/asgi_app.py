"""Completions by ASGI, for any server; what it has seen is asked for over HTTP as well.

As a program: ``python -m tests.e2e.asgi_app PROTOCOL DESCRIPTOR`` serves it by uvicorn on a socket that
listens already.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import uvicorn

from tests.servers.mock_server import completion

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
#: Seconds after which uvicorn closes an idle connection.
KEEPALIVE = 1


class Count:
    """A number that can be waited for."""

    def __init__(self) -> None:
        self.value = 0
        self._changed = anyio.Event()

    def add(self) -> None:
        self.value += 1
        self._changed.set()
        self._changed = anyio.Event()

    async def wait(self, least: int) -> None:
        while self.value < least:
            await self._changed.wait()


class App:
    """A prompt that begins with *hang* gets no answer, one with *hold* none until `released`.

    Attributes:
        together: so many requests wait for each other before any is answered.
        clients: the peers of the connections that completions came on.
        requests: how many completions were asked for.
        arrived: how many of them wait, for ever or for `released`.
        gone: how many that waited for ever saw their client disconnect.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self, together: int = 0) -> None:
        self.together = together
        self.clients: set[str] = set()
        self.requests = 0
        self.here = Count()
        self.arrived = Count()
        self.gone = Count()
        self.released = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["path"] == "/v1/completions":
            await self._complete(scope, receive, send)
        else:
            await _answer(send, await self._tell(scope))

    async def _complete(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read(receive)
        self.requests += 1
        behind = dict(scope["headers"]).get(b"x-client")  # set by a proxy
        self.clients.add(behind.decode() if behind else str(scope["client"]))
        if body["prompt"].startswith("hang"):
            self.arrived.add()
            while (await receive())["type"] != "http.disconnect":
                pass
            self.gone.add()
            return
        if body["prompt"].startswith("hold"):
            self.arrived.add()
            await self.released.wait()
        self.here.add()
        await self.here.wait(self.together)
        await _answer(send, completion(body))

    async def _tell(self, scope: Scope) -> dict[str, int]:
        number = int(scope["query_string"] or b"0")
        match scope["path"]:
            case "/v1/reset":
                self.reset(number)
            case "/v1/arrived":
                await self.arrived.wait(number)
            case "/v1/gone":
                await self.gone.wait(number)
        return {"connections": len(self.clients), "requests": self.requests}


async def _live(receive: Receive, send: Send) -> None:
    for part in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{part}.complete"})


async def _read(receive: Receive) -> dict[str, Any]:
    body, more = b"", True
    while more:
        event = await receive()
        body += event.get("body", b"")
        more = event.get("more_body", False)
    result: dict[str, Any] = json.loads(body)
    return result


async def _answer(send: Send, answer: Any) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


def main(protocol: Any, descriptor: str) -> None:
    config = uvicorn.Config(
        App(),
        http=protocol,
        log_level="critical",
        timeout_keep_alive=KEEPALIVE,
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(descriptor))])


if __name__ == "__main__":
    main(*sys.argv[1:])
