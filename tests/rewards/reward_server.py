"""A reward model's server without sockets: a text is the better the more cats it has."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import trio

from trio_beam import Endpoint, RetryPolicy

TAG = "<extra_0>"
LATENCY = 10.0


class RewardServer:
    """Answers ``/pooling`` with a number per step, ``/classify`` with one per text.

    Attributes:
        fails: given the number of a request, from 0, a response instead of the scores.
        refuses: given a text, whether a request with it is refused.
        refusal: the response to one that is.
        hangs: given the number of a request, whether it never answers.
        max_batch: maximum number of texts per request.
    """

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.fails: Callable[[int], httpx.Response | None] = lambda _: None
        self.refuses: Callable[[str], bool] = lambda _: False
        self.refusal = httpx.Response(400, json={"error": {"message": "not this text"}})
        self.hangs: Callable[[int], bool] = lambda _: False
        self.max_batch = 1000
        self.in_flight = self.cancelled = 0

    @property
    def sizes(self) -> list[int]:
        """Number of texts in each request."""
        return [len(body.get("input", [0])) for body in self.bodies]

    async def handle(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        number, body = len(self.bodies), json.loads(request.content)
        self.bodies.append(body)
        self.paths.append(request.url.path)
        self.in_flight += 1
        try:
            await trio.sleep(LATENCY)
            if self.hangs(number):
                await trio.sleep_forever()
        except trio.Cancelled:
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1
        return self.fails(number) or self.answer(request.url.path, body)

    def answer(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """Score the texts."""
        texts = body.get("input") or [body["messages"][-1]["content"]]
        if len(texts) > self.max_batch:
            return httpx.Response(413, json={"error": "batch size > maximum allowed batch size"})
        if any(map(self.refuses, texts)):
            return self.refusal
        usage = {"prompt_tokens": 7 * len(texts)}
        if path == "/pooling":
            rows: list[Any] = [
                {"index": place, "data": [[1 - value(step), value(step)] for step in steps(text)]}
                for place, text in enumerate(texts)
            ]
        elif path == "/classify":
            rows = [{"index": place, "probs": [value(text)]} for place, text in enumerate(texts)]
        else:
            return httpx.Response(404, json={"detail": "Not Found"})
        return httpx.Response(200, json={"data": rows, "usage": usage})

    @asynccontextmanager
    async def endpoint(self, **options: Any) -> AsyncIterator[Endpoint]:
        """An endpoint on this server, which does not retry."""
        given: dict[str, Any] = {"model": "rm", "retry": RetryPolicy(attempts=1)} | options
        transport = httpx.MockTransport(self.handle)
        async with (
            httpx.AsyncClient(transport=transport, timeout=None) as client,
            Endpoint("http://rm/v1", http_client=client, **given) as endpoint,
        ):
            yield endpoint


def steps(text: str) -> list[str]:
    """The steps of a text, each of which has a tag behind it."""
    return text.split(TAG)[:-1]


def value(text: str) -> float:
    """The score of a step or text."""
    return 1 - 0.5 ** (1 + text.count(" cat"))
