"""A hosted chat API in threads, for programs that run in processes of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.servers.threaded import Asked, threaded

WORDS = ("def", " factorial", "(n):", " return", " n", "\n")


class ChatServer:
    """Where it listens, and what it was sent.

    Attributes:
        bodies: of the requests, as JSON.
        headers: of the requests, in lower case.
    """

    def __init__(self, text: str | None = None) -> None:
        self.text = text
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """A text that has not ended yet: blocks follow blocks; or the text that it was given."""
        count = body.get("max_tokens") or body.get("max_completion_tokens") or 16
        tokens = [WORDS[k % len(WORDS)] for k in range(count)] if self.text is None else [self.text]
        reason = "length" if self.text is None else "stop"
        n = body.get("n") or 1
        choices = []
        for index in range(n):
            logprob = -0.5 - 0.1 * index
            content = [
                {
                    "token": token,
                    "logprob": logprob,
                    "bytes": list(token.encode()),
                    "top_logprobs": [],
                }
                for token in tokens
            ]
            message = {"role": "assistant", "content": "".join(tokens)}
            choices.append(
                {
                    "index": index,
                    "message": message,
                    "finish_reason": reason,
                    "logprobs": {"content": content},
                }
            )
        usage = {"prompt_tokens": 9, "completion_tokens": n * len(tokens)}
        return {"id": "x", "object": "chat.completion", "choices": choices, "usage": usage}


@contextmanager
def chat_server(text: str | None = None) -> Iterator[ChatServer]:
    """Serve while the block runs; a text is all that it says."""
    server = ChatServer(text)

    def answer(asked: Asked) -> tuple[int, Any]:
        if asked.method == "GET":
            return 200, {"object": "list", "data": [{"id": "grok-3-mini"}]}
        body = json.loads(asked.content)
        server.bodies.append(body)
        server.headers.append(dict(asked.headers))
        return 200, server.answer(body)

    with threaded(answer) as server.url:
        yield server
