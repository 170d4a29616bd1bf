"""A model server in a process of its own, which may hold its responses or be killed in the middle of a run.

``python -m tests.batch.replica HOLD`` prints its base URL, and a line when it has been asked for HOLD
completions (0: never). From then on it answers nobody until it reads a line.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

from tests.servers.mock_server import completion
from tests.servers.threaded import Asked, threaded

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


def _answer(asked: Asked) -> tuple[int, Any]:
    if asked.method == "GET":
        return 200, {"data": [{"id": "mock"}]}
    _ask()
    return 200, completion(json.loads(asked.content))


def main() -> None:
    _open.set()
    with threaded(_answer) as url:
        print(url, flush=True)
        for _ in sys.stdin:
            _open.set()


if __name__ == "__main__":
    main()
