"""A program that runs a benchmark in a process of its own, kills it, and begins again.

``python -m tests.benchmark.killed_run FOLDER KILLS SEED`` prints for each life how many lines were torn
when it began, and how many records were there when it was killed. The last life is left alone.

Its records are written in small pieces, each of which has to be taken note of before the next, so that
a kill mostly comes in the middle of a record.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

import trio

from tests.benchmark.words import Notes, Words, plan_of
from trio_beam.benchmark.run import Run
from trio_beam.benchmark.store import Store, read_records
from trio_beam.core.language_model import SampleRequest
from trio_beam.errors import MalformedResponse
from trio_beam.testing import FakeEndpoint

PROBLEMS = 60
WORDS = (
    f"benchmark.num_problems={PROBLEMS}",
    "benchmark.max_concurrent_problems=3",
    "benchmark.stop_after_failures=1000",
    "beam_search.enabled=true",
    "beam_search.tokens_per_step=8",
    "self_consistency.enabled=true",
    "self_consistency.n=4",
)
#: Bytes of a piece; a record has about fifteen of them.
_PIECE = 48
#: As much as a pipe holds: the next piece has to wait until this was read.
_TICK = b"." * 65536


async def run(folder: Path, latency: float = 0.0) -> int:
    """Run to the end; returns how many torn lines there were at the beginning."""
    plan = plan_of(folder, *WORDS)
    with Store(folder) as store:
        torn = store.damaged
        work = Run(plan, Words(PROBLEMS), store, Notes())
        await work.load()
        await work.grade()
        await work.answer(FakeEndpoint(latency=latency, before=_some_fail))
    return torn


async def _some_fail(request: SampleRequest) -> None:
    """Of what greedy asks for, about a fifth comes to nothing; always the same."""
    await trio.lowlevel.checkpoint()
    greedy = request.n == 1 and request.beam.length == 0
    if greedy and request.seed is not None and request.seed % 5 == 0:
        raise MalformedResponse("the line is dead")


def _live(folder: Path, told: int) -> None:
    """One life, in a process of its own, which tells of each piece that was written."""
    write = os.write

    def slowly(file: int, data: bytes) -> int:
        if file == told:
            return write(file, data)
        written = write(file, data[:_PIECE])
        write(told, _TICK)
        return written

    os.write = slowly  # type: ignore[assignment]  # the same but for memoryviews, which it takes too
    trio.run(run, folder, 0.002)


def _kill_after(folder: Path, pieces: int) -> bool:
    """Begin a life and end it so many pieces later; whether it was still alive."""
    heard, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(heard)
        _live(folder, told)
        os._exit(0)
    os.close(told)
    left = pieces * len(_TICK)
    while left > 0 and (data := os.read(heard, left)):
        left -= len(data)
    os.kill(pid, signal.SIGKILL)
    os.close(heard)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def main(folder: Path, kills: int, seed: int) -> None:
    """Kill so many times, then run to the end."""
    chance = random.Random(seed)
    path = folder / "records.jsonl"
    for _ in range(kills):
        assert _kill_after(folder, chance.randint(0, 60))
        content = path.read_bytes() if path.exists() else b""
        torn = content != b"" and not content.endswith(b"\n")
        print("killed", int(torn), len(read_records(folder)))
    print("ended", trio.run(run, folder), len(read_records(folder)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
