"""Measure what a trace costs a search, in one run: its time and CPU seconds, with and without one.

Searches with and without a trace take turns; the fastest of each, which other work has disturbed least, are
compared. CPU seconds are those of the searching process. With the embedded model, which runs on the same
machine, the server's are measured too.

Without --local, the server answers each request after a latency, as a fast one would: 64 tokens in 50 ms
are 1,280 tokens per second and beam, and costs no CPU worth the name.

    uv run python scripts/bench_trace.py
    uv run python scripts/bench_trace.py --local --repeat 3
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import bench_server
import trio

from trio_beam import BeamSearchConfig, Endpoint, Observer, beam_search
from trio_beam.local.server import serve_local
from trio_beam.observers import Trace


class Costs:
    """Seconds of searches, and their CPU seconds in this process."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.cpu: list[float] = []

    async def measure(
        self, endpoint: Endpoint, config: BeamSearchConfig, *observers: Observer
    ) -> None:
        """Make one search."""
        start, cpu = time.perf_counter(), time.process_time()
        await beam_search(endpoint, "Once upon a time", config, observers=observers)
        self.times.append(time.perf_counter() - start)
        self.cpu.append(time.process_time() - cpu)


@asynccontextmanager
async def _server(options: argparse.Namespace) -> AsyncIterator[str]:
    """Run the server; yields its base URL."""
    if not options.local:
        async with bench_server.running(options.latency) as url:
            yield f"{url}/v1"
        return
    async with trio.open_nursery() as nursery:
        yield await nursery.start(serve_local)
        nursery.cancel_scope.cancel(reason="measured")


async def measure(options: argparse.Namespace) -> None:
    """Measure, and print what was found."""
    tokens = 16 if options.local else 64
    config = BeamSearchConfig(
        beam_width=4,
        n_per_beam=4,
        tokens_per_step=tokens,
        max_tokens=(2 if options.local else 8) * tokens,
        early_stopping=False,
        seed=1,
    )
    plain, traced, first = Costs(), Costs(), Costs()
    size = 0
    model = None if options.local else "bench"
    with tempfile.TemporaryDirectory() as folder:
        async with (
            _server(options) as url,
            Endpoint(url, model=model, dialect="llama_cpp") as endpoint,
        ):
            await first.measure(endpoint, config)
            for number in range(options.repeat):
                path = Path(folder) / f"{number}.jsonl"
                await plain.measure(endpoint, config)
                with Trace(path) as trace:
                    await traced.measure(endpoint, config, trace)
                size = path.stat().st_size
    print(f"{config.rounds} rounds of 16 continuations of {tokens} tokens")
    search, client = min(plain.times), min(plain.cpu)
    more = min(traced.cpu) - client
    print(f"a search: {search * 1e3:.0f} ms, {client * 1e3:.1f} ms of CPU in this process")
    print(f"a trace: {more * 1e3:+.1f} ms of CPU, {size / 1e6:.2f} MB")
    print(f"  {more / search:.1%} of the search's time")
    print(f"  {more / client:.1%} of this process's CPU seconds")
    if options.local:
        # With those of its start, which reads the model.
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        server = (usage.ru_utime + usage.ru_stime) / (1 + 2 * options.repeat)
        print(f"  {more / (client + server):.2%} of all CPU seconds: the server's are {server:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--latency", type=float, default=0.05, help="seconds per request")
    parser.add_argument("--local", action="store_true", help="the embedded model")
    parser.add_argument("--repeat", type=int, default=15)
    trio.run(measure, parser.parse_args())


if __name__ == "__main__":
    main()
