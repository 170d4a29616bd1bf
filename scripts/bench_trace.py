"""Measure what a trace costs a search: its time and CPU time, with and without one.

The server answers each request after a latency, as a fast one would: 64 tokens in 50 ms are 1,280 tokens per
second and beam. Searches with and without a trace take turns; the fastest of each, which other work has
disturbed least, are compared. On a busy machine the CPU time that is added says more than the time, which
has waits for the processor in it.

    uv run python scripts/bench_trace.py
    uv run python scripts/bench_trace.py --latency 0.02 --repeat 20
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import bench_server
import trio

from trio_beam import BeamSearchConfig, Endpoint, Observer, beam_search
from trio_beam.observers import Trace


async def one_search(
    endpoint: Endpoint, config: BeamSearchConfig, observers: Sequence[Observer]
) -> tuple[float, float]:
    """Its time and its CPU time in this process, in seconds."""
    start, cpu = time.perf_counter(), time.process_time()
    await beam_search(endpoint, "Once upon a time", config, observers=observers)
    return time.perf_counter() - start, time.process_time() - cpu


async def measure(options: argparse.Namespace) -> None:
    config = BeamSearchConfig(
        beam_width=4, n_per_beam=4, tokens_per_step=64, max_tokens=512, early_stopping=False, seed=1
    )
    plain: list[tuple[float, float]] = []
    traced: list[tuple[float, float]] = []
    size = 0
    with tempfile.TemporaryDirectory() as folder:
        async with bench_server.running(options.latency) as url:
            for dialect in ("llama_cpp",):
                async with Endpoint(f"{url}/v1", model="bench", dialect=dialect) as endpoint:
                    await one_search(endpoint, config, ())
                    for number in range(options.repeat):
                        path = Path(folder) / f"{number}.jsonl"
                        plain.append(await one_search(endpoint, config, ()))
                        with Trace(path) as trace:
                            traced.append(await one_search(endpoint, config, [trace]))
                        size = path.stat().st_size
    print(
        f"{config.rounds} rounds of 16 continuations of 64 tokens, {options.latency * 1e3:g} ms each"
    )
    without, together = (
        tuple(min(one[place] for one in runs) for place in (0, 1)) for runs in (plain, traced)
    )
    for name, place in (("time", 0), ("CPU time", 1)):
        more = together[place] - without[place]
        print(
            f"{name:>9}: {without[place] * 1e3:7.1f} ms without a trace, {more * 1e3:+6.1f} ms with one:"
            f" {more / without[0]:.1%} of the search's time"
        )
    print(f"the trace of a search has {size / 1e6:.2f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--latency", type=float, default=0.05, help="seconds per request")
    parser.add_argument("--repeat", type=int, default=15)
    trio.run(measure, parser.parse_args())


if __name__ == "__main__":
    main()
