"""An OpenAI-compatible server without sockets, for `Endpoint` under virtual time.

It answers a completion with text that depends on the prompt and the seed only. What should happen
before an answer (a delay, an error status, a broken connection) is scripted by `before`.
"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import trio

from trio_beam import Endpoint

#: Given the number of the request (from 0) and its JSON, may sleep, raise, or answer itself.
Before = Callable[[int, dict[str, Any]], Awaitable[httpx.Response | None]]

WORDS = (" alpha", " beta", " gamma", " delta", " epsilon", " zeta")


class MockServer:
    def __init__(
        self, before: Before | None = None, *, latency: float = 1.0, n_cap: int | None = None
    ) -> None:
        self.before = before
        self.latency = latency
        self.n_cap = n_cap
        self.paths: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.headers: list[httpx.Headers] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.cancelled = 0
        self.extra: dict[str, Any] = {}

    async def handle(self, request: httpx.Request) -> httpx.Response:
        number = len(self.paths)
        body = json.loads(request.content or b"{}")
        self.paths.append(request.url.path)
        self.bodies.append(body)
        self.times.append(trio.current_time())
        self.headers.append(request.headers)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.before is not None:
                answer = await self.before(number, body)
                if answer is not None:
                    return answer
            await trio.sleep(self.latency)
        except trio.Cancelled:
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1
        if request.url.path.endswith("/models"):
            return httpx.Response(200, json={"data": [{"id": "mock"}]})
        return httpx.Response(200, json=completion(body, self.n_cap) | self.extra)

    @asynccontextmanager
    async def endpoint(self, **options: Any) -> AsyncIterator[Endpoint]:
        """An endpoint on this server: dialect and model named, unless options say otherwise."""
        options = {"dialect": "openai", "model": "mock"} | options
        async with (
            httpx.AsyncClient(transport=httpx.MockTransport(self.handle)) as client,
            Endpoint("http://mock/v1", http_client=client, **options) as endpoint,
        ):
            yield endpoint
            at_rest(endpoint)
        assert self.in_flight == 0


def at_rest(endpoint: Endpoint) -> None:
    """Nothing is in flight and nothing waits."""
    statistics = endpoint.statistics()
    assert statistics.in_flight == 0
    assert statistics.waiting == 0


def completion(body: dict[str, Any], n_cap: int | None = None) -> dict[str, Any]:
    """What a server with the legacy arrays answers."""
    n = min(body.get("n", 1), n_cap or 10**6)
    return {
        "choices": [_choice(body, index) for index in range(n)],
        "usage": {"prompt_tokens": 7, "completion_tokens": n * body["max_tokens"]},
    }


def _choice(body: dict[str, Any], index: int) -> dict[str, Any]:
    source = random.Random(f"{body['prompt']}|{body.get('seed', 0) + index}")
    tokens = source.choices(WORDS, k=body["max_tokens"])
    return {
        "index": index,
        "text": "".join(tokens),
        "finish_reason": "length",
        "logprobs": {
            "tokens": tokens,
            "token_logprobs": [-source.random() - 0.01 for _ in tokens],
            "top_logprobs": None,
        },
    }


def raising(error: Exception, *numbers: int) -> Before:
    """Raise an error for the requests of these numbers."""

    async def before(number: int, body: dict[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        if number in numbers:
            raise error

    return before


def answering(response: Callable[[], httpx.Response], *numbers: int) -> Before:
    """Give another answer to the requests of these numbers."""

    async def before(number: int, body: dict[str, Any]) -> httpx.Response | None:
        await trio.lowlevel.checkpoint()
        return response() if number in numbers else None

    return before
