"""A program whose processes write to one cache and are killed in the middle.

``python -m tests.endpoint.killed_writers FOLDER LIVES`` ends with exit code 0 if no process has read anything
but what some process wrote.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from trio_beam.endpoint.cache_file import CacheFile

WRITERS = 3
ROOM = 8 << 30


def body(number: int, size: int = 5000) -> bytes:
    return random.Random(number).randbytes(size)


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _write_and_read(folder: Path, number: int) -> None:
    """Put and get for ever; end with an exit code if a body is another's."""
    file = CacheFile(folder, ROOM)
    file.open()
    while True:
        number += 1
        file.put({key(number % 50): body(number % 50), key(number): body(number)})
        other = random.randrange(number + 1)
        if file.get(key(other)) not in (None, body(other)):
            os._exit(3)


def main() -> None:
    folder, lives, source = Path(sys.argv[1]), int(sys.argv[2]), random.Random(4)
    for life in range(lives):
        writers = []
        for writer in range(WRITERS):
            pid = os.fork()
            if pid == 0:
                _write_and_read(folder, 1000 * (WRITERS * life + writer))
            writers.append(pid)
        time.sleep(0.1 + source.random() / 10)
        for pid in writers:
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
                sys.exit(f"writer {pid} ended by itself: {status}")


if __name__ == "__main__":
    main()
