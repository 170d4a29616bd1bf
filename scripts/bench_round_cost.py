"""Measure whether our own cost of a round grows with the length of the beams.

One search of long beams; the CPU time (user + system) of this process in each round is measured, and
the rounds near the given lengths are compared. "search" is the state machine and the nursery alone,
against a model in this process; "ids" sends the beam as token ids (llama_cpp), "text" as text
(openai), to a server in another process. The body of a request grows with the beam, nothing else may:
"copy" is what joining and sending a body of that size costs by itself.

    uv run python scripts/bench_round_cost.py
    uv run python scripts/bench_round_cost.py --json
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import threading
import time
from collections.abc import Sequence
from typing import Any

import bench_server
import trio

from trio_beam import (
    BeamSearchConfig,
    Continuation,
    Endpoint,
    LanguageModel,
    RequestContext,
    SampleRequest,
    Token,
    beam_search,
)
from trio_beam.core.events import Event, RoundFinished
from trio_beam.core.prompt import Prompt

BLOCK = 50


class InProcess:
    """A model that answers at once with blocks made beforehand."""

    max_per_request = None

    def __init__(self) -> None:
        words = tuple(Token(" word", -1.5, 7, b" word") for _ in range(BLOCK - 1))
        self._blocks = [(Token("x", -1.0, 1000 + i, b"x"), *words) for i in range(2000)]
        self._next = 0

    async def start(self, prompt: Prompt, context: RequestContext) -> InProcess:
        await trio.lowlevel.checkpoint()
        return self

    async def sample(
        self, request: SampleRequest, context: RequestContext
    ) -> Sequence[Continuation]:
        await trio.lowlevel.checkpoint()
        found = []
        for _ in range(request.n):
            self._next = (self._next + 1) % len(self._blocks)
            tokens = self._blocks[self._next]
            found.append(Continuation(tokens=tokens, data=b"x" + b" word" * (BLOCK - 1)))
        return found


async def cpu_per_round(model: LanguageModel, config: BeamSearchConfig) -> dict[int, float]:
    """Length of the beams at the start of a round, to its CPU time in seconds."""
    found: dict[int, float] = {}
    last = time.process_time()

    def observe(event: Event) -> None:
        nonlocal last
        if isinstance(event, RoundFinished):
            now = time.process_time()
            found[(event.round - 1) * config.tokens_per_step] = now - last
            last = now

    await beam_search(model, "Once upon a time", config, observers=[observe])
    return found


def near(rounds: Sequence[dict[int, float]], length: int) -> float:
    """The median over rounds within 150 tokens of a length, in seconds."""
    return statistics.median(
        cost for found in rounds for at, cost in found.items() if abs(at - length) <= 150
    )


def copy_cost(size: int) -> float:
    """CPU seconds to join a body of this size and to push it through a socket, both ends in here."""
    part = b"x" * 250
    ours, theirs = socket.socketpair()

    def drain() -> None:
        while theirs.recv(1 << 16):
            pass

    reader = threading.Thread(target=drain)
    reader.start()
    times = []
    for _ in range(200):
        start = time.thread_time()
        ours.sendall(b"".join([part] * (size // len(part))))
        times.append(time.thread_time() - start)
    ours.close()
    reader.join()
    theirs.close()
    return statistics.median(times)


async def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    short, long = options.lengths
    config = BeamSearchConfig(
        beam_width=4,
        n_per_beam=2,
        tokens_per_step=BLOCK,
        max_tokens=long + 200,
        early_stopping=False,
        seed=1,
    )
    runs: dict[str, list[dict[int, float]]] = {"search": [], "ids": [], "text": []}
    async with bench_server.running(0.0) as url:
        for _ in range(options.repeat):
            runs["search"].append(await cpu_per_round(InProcess(), config))
            for name, dialect in (("ids", "llama_cpp"), ("text", "openai")):
                async with Endpoint(f"{url}/v1", model="bench", dialect=dialect) as endpoint:
                    runs[name].append(await cpu_per_round(endpoint, config))
    rows: list[dict[str, Any]] = []
    for name, found in runs.items():
        low, high = near(found, short), near(found, long)
        rows.append(
            {
                "what": name,
                f"ms_at_{short}": round(low * 1e3, 3),
                f"ms_at_{long}": round(high * 1e3, 3),
                "ratio": round(high / low, 3),
                # Four beams, whose bodies grow by this many tokens of 2 bytes as ids, 5 as text.
                "copy_ms": round(
                    {
                        "search": 0.0,
                        "ids": 4 * copy_cost(2 * (long - short)),
                        "text": 4 * copy_cost(5 * (long - short)),
                    }[name]
                    * 1e3,
                    3,
                ),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--lengths", type=lambda text: [*map(int, text.split(","))], default=[200, 4000]
    )
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = trio.run(measure, options)
    if options.json:
        print(json.dumps(rows))
        return
    short, long = options.lengths
    print(
        f"CPU of a round of 4 beams x 2 continuations of {BLOCK} tokens, beams of {short} and {long} tokens"
    )
    print(f"{'':>8} {short:>9} {long:>9} {'ratio':>7} {'copy':>9}")
    for row in rows:
        print(
            f"{row['what']:>8} {row[f'ms_at_{short}']:>6.2f} ms {row[f'ms_at_{long}']:>6.2f} ms"
            f" {row['ratio']:>7.3f} {row['copy_ms']:>6.3f} ms"
        )


if __name__ == "__main__":
    main()
