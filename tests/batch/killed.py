"""A program that runs a batch in a process of its own, kills it, and begins again.

``python -m tests.batch.killed FOLDER KILLS SEED`` prints after each life how many answers are there. The last
life is left alone.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from functools import partial
from pathlib import Path

import trio

from tests.batch.batches import Notes, prompts, run
from trio_beam.batch.folder import ANSWERS
from trio_beam.testing import FakeEndpoint

PROMPTS = 200
#: Bytes of a piece that is written at once; a record has about eight of them.
_PIECE = 48


def _live(folder: Path, pieces: int | None) -> None:
    """One life, which ends after so many pieces, mostly in the middle of a record."""
    write, left = os.write, pieces

    def slowly(file: int, data: bytes) -> int:
        nonlocal left
        written = write(file, data[:_PIECE])
        if left is not None:
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return written

    if pieces is not None:
        os.write = slowly  # type: ignore[assignment]  # the same but for memoryviews, which it takes too
    trio.run(partial(run, folder, prompts(PROMPTS), FakeEndpoint(), notes=Notes()))


def main() -> None:
    folder, kills, source = Path(sys.argv[1]), int(sys.argv[2]), random.Random(sys.argv[3])
    for life in range(kills + 1):
        pid = os.fork()
        if pid == 0:
            _live(folder, source.randint(1, 60) if life < kills else None)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        signalled = os.WIFSIGNALED(status)
        answers = folder / ANSWERS
        count = answers.read_bytes().count(b"\n") if answers.exists() else 0
        print(
            "killed" if signalled else "ended", os.waitstatus_to_exitcode(status), count, flush=True
        )


if __name__ == "__main__":
    main()
