"""Measure how long a real server's decoding steps and prompts take, for `scripts/simulate_fleet.py`.

The embedded model on llama.cpp with one thread: batches of 1, 2, 4 and 8 sequences behind prompts that it has
read already, and prompts that it has not. Seconds are the server's processor time, which other work on the
machine hardly changes; a line is fitted to those of a step by least squares. Linux only.

    uv run --extra local python scripts/measure_service_times.py
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import trio

from trio_beam.local.keys import local_api_key
from trio_beam.local.server import serve_local

SEQUENCES = (1, 2, 4, 8)
TOKENS = 64
PROMPT = 400
REPEAT = 5


def children() -> set[int]:
    """The processes that this one has started."""
    lists = Path("/proc/self/task").glob("*/children")
    return {int(pid) for one in lists for pid in one.read_text().split()}


def clock(pid: int) -> Callable[[], float]:
    """Return what tells the processor time that a process has used, in seconds."""
    stat = Path(f"/proc/{pid}/stat")

    def now() -> float:
        fields = stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    return now


async def main() -> None:
    async with trio.open_nursery() as nursery:
        before = children()
        url = await nursery.start(lambda **key: serve_local(slots=8, threads=1, **key))
        (server,) = children() - before
        key = {"Authorization": f"Bearer {local_api_key(url)}"}
        now = clock(server)
        async with httpx.AsyncClient(base_url=url, headers=key, timeout=300) as client:

            async def complete(prompt: list[int], tokens: int) -> dict[str, Any]:
                body = {"prompt": prompt, "max_tokens": tokens, "ignore_eos": True}
                answer = await client.post("/completions", json=body)
                answer.raise_for_status()
                found: dict[str, Any] = answer.json()
                assert found["usage"]["completion_tokens"] == tokens
                return found

            steps = {}
            for count in SEQUENCES:
                prompts = [[50 + number] * 8 for number in range(count)]
                seconds = []
                for _ in range(REPEAT):
                    start = now()
                    async with trio.open_nursery() as batch:
                        for prompt in prompts:
                            batch.start_soon(complete, prompt, TOKENS)
                    seconds.append((now() - start) / TOKENS)
                steps[count] = statistics.median(seconds)
                print(f"{count} sequences: {1000 * steps[count]:.2f} ms a step")
            reading = []
            for number in range(REPEAT):
                start = now()
                await complete([100 + number] * PROMPT, 1)
                reading.append((now() - start - steps[1]) / PROMPT)
        nursery.cancel_scope.cancel()
    each, base = statistics.linear_regression(list(steps), list(steps.values()))
    print(f"Times(base={base:.5f}, each={each:.5f}, prefill={statistics.median(reading):.6f})")


if __name__ == "__main__":
    trio.run(main)
