"""A hosted chat API in threads, for programs that run in processes of their own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

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

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send({"object": "list", "data": [{"id": "grok-3-mini"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            server.bodies.append(body)
            server.headers.append({name.lower(): value for name, value in self.headers.items()})
            self._send(server.answer(body))

        def _send(self, answer: Any) -> None:
            data = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_port}/v1"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
