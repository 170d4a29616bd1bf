"""A model server in a process of its own, which may hold its responses or be killed in the middle of a run.

``python -m tests.batch.replica HOLD`` prints its base URL, and a line when it has been asked for HOLD
completions (0: never). From then on it answers nobody until it reads a line.
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.servers.mock_server import completion

HOLD = int(sys.argv[1]) if __name__ == "__main__" else 0
_lock = threading.Lock()
_open = threading.Event()
_asked = 0


def _ask() -> None:
    global _asked  # noqa: PLW0603
    with _lock:
        _asked += 1
        if _asked == HOLD:
            _open.clear()
            print("held", flush=True)
    _open.wait()


class _Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer({"data": [{"id": "mock"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        _ask()
        self._answer(completion(body))

    def _answer(self, answer: Any) -> None:
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass


def main() -> None:
    _open.set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}/v1", flush=True)
    for _ in sys.stdin:
        _open.set()


if __name__ == "__main__":
    main()
