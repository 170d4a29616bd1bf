"""A hosted chat API: a list of models and `/chat/completions`, and nothing else.

What it says depends on the last question, on what the assistant has said already, and on the seed. Asked over
a real socket (`serve`), for callers that block, or without one (`client`), under virtual time.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import httpx
import trio

from tests.servers.threaded import threaded

WORDS = (" red", " green", " blue", " white", " black", " grey")


@attrs.define
class HostedChat:
    """One API, and what it was sent.

    Attributes:
        length: words of a whole text; None: it never ends.
        latency: seconds before a response, under virtual time.
        paths, queries, bodies, headers: of the requests so far; header names in lower case.
    """

    length: int | None = None
    latency: float = 0.0
    paths: list[str] = attrs.field(factory=list)
    queries: list[str] = attrs.field(factory=list)
    bodies: list[dict[str, Any]] = attrs.field(factory=list)
    headers: list[dict[str, str]] = attrs.field(factory=list)
    in_flight: int = 0
    cancelled: int = 0

    @property
    def questions(self) -> list[dict[str, Any]]:
        """The bodies without those that find out whether it continues a message."""
        return [body for body in self.bodies if body["messages"][0]["content"] != "Count."]

    def respond(self, path: str, headers: Any, content: bytes) -> tuple[int, Any]:
        """The status and the body of a response."""
        path, _, query = path.partition("?")
        self.paths.append(path)
        self.queries.append(query)
        if path == "/v1/models":
            return 200, {"object": "list", "data": [{"id": "grok-2-1212", "owned_by": "xai"}]}
        if path != "/v1/chat/completions":
            return 404, {"error": {"message": f"unknown path {path}"}}
        body = json.loads(content)
        self.bodies.append(body)
        self.headers.append({name.lower(): value for name, value in headers.items()})
        return 200, self._complete(body)

    def _complete(self, body: dict[str, Any]) -> dict[str, Any]:
        *asked, last = body["messages"]
        said = last["content"] if last["role"] == "assistant" else ""
        question = asked[-1]["content"] if said else last["content"]
        n = body.get("n", 1)
        choices = [self._choice(body, f"{question}|{said}", len(said.split()), k) for k in range(n)]
        written = sum(len(choice["logprobs"]["content"]) for choice in choices)
        prompt = len(question.split()) + len(said.split())
        return {
            "id": "x",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": choices,
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": written,
                "total_tokens": prompt + written,
            },
        }

    def _choice(self, body: dict[str, Any], text: str, done: int, index: int) -> dict[str, Any]:
        source = random.Random(f"{text}|{body.get('seed', 0) + index}")
        left = 10**9 if self.length is None else self.length - done
        asked = body.get("max_tokens", body.get("max_completion_tokens", 16))
        words = source.choices(WORDS, k=min(asked, left))
        content = [
            {
                "token": word,
                "logprob": -source.random() - 0.01,
                "bytes": list(word.encode()),
                "top_logprobs": [],
            }
            for word in words
        ]
        return {
            "index": index,
            "message": {"role": "assistant", "content": "".join(words)},
            "finish_reason": "stop" if left <= asked else "length",
            "logprobs": {"content": content},
        }

    # -- ways to ask it

    def client(self) -> httpx.AsyncClient:
        """A client that reaches it without a socket, whatever host is named."""
        return httpx.AsyncClient(transport=httpx.MockTransport(self._handle))

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        self.in_flight += 1
        try:
            await trio.sleep(self.latency)
        except trio.Cancelled:
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1
        path = request.url.raw_path.decode()
        status, body = self.respond(path, request.headers, request.content)
        return httpx.Response(status, json=body)

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Serve in threads while the block runs; yields the base URL."""
        with threaded(lambda asked: self.respond(asked.path, asked.headers, asked.content)) as url:
            yield url
