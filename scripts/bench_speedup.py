"""Measure the speed-up of a search over sequential beams, and its distance from the ideal.

The ideal is rounds x latency: all beams of a round at the same time, and no work of our own. "One
after the other" is the same search with a single request in flight. Each beam is one request a
round, the first round included.

    uv run python scripts/bench_speedup.py
    uv run python scripts/bench_speedup.py --latency 0.3 --widths 8 --json
    uv run --group bench-clients python scripts/bench_speedup.py --widths 64,256 --bare
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from typing import Any

import bench_server
import trio

from trio_beam import BeamSearchConfig, Endpoint, beam_search
from trio_beam.dialects.openai_wire import decode_without_top


async def seconds(url: str, width: int, options: argparse.Namespace, max_concurrent: int) -> float:
    config = BeamSearchConfig(
        beam_width=width,
        n_per_beam=options.n_per_beam,
        tokens_per_step=options.tokens,
        max_tokens=options.tokens * options.rounds,
        early_stopping=False,
    )
    async with Endpoint(
        f"{url}/v1",
        model="bench",
        dialect="openai",
        max_concurrent=max_concurrent,
        max_n=options.n_per_beam,
    ) as endpoint:
        start = trio.current_time()
        result = await beam_search(endpoint, "Once upon a time", config)
        elapsed = trio.current_time() - start
    assert result.usage.requests == options.rounds * width
    return elapsed


def bare(url: str, width: int, options: argparse.Namespace) -> float:
    """Seconds that the same requests take with aiohttp and our decoder, gathered, without a search."""
    import aiohttp  # noqa: PLC0415  # only this needs the group `bench-clients`

    async def main() -> float:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def ask(prompt: str) -> None:
                body = {
                    "model": "bench",
                    "prompt": prompt,
                    "n": options.n_per_beam,
                    "max_tokens": options.tokens,
                    "logprobs": 1,
                }
                async with session.post(f"{url}/v1/completions", json=body) as response:
                    decode_without_top(await response.read())

            start = time.perf_counter()
            for done in range(options.rounds):
                prompt = "Once upon a time" + " word" * options.tokens * done
                await asyncio.gather(*(ask(prompt) for _ in range(width)))
            return time.perf_counter() - start

    return asyncio.run(main())


async def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    ideal = options.rounds * options.latency
    async with bench_server.running(options.latency) as url:
        await seconds(url, 2, options, 100)  # imports and the like are not counted
        for width in options.widths:
            runs = [await seconds(url, width, options, 10_000) for _ in range(options.repeat)]
            together = statistics.median(runs)
            alone = await seconds(url, width, options, 1) if width <= options.sequential else None
            floor = [
                await trio.to_thread.run_sync(bare, url, width, options)
                for _ in range(options.repeat if options.bare else 0)
            ]
            rows.append(
                {
                    "width": width,
                    "together_s": round(together, 3),
                    "over_ideal": round(together / ideal, 3),
                    "over_ideal_worst": round(max(runs) / ideal, 3),
                    "bare_over_ideal": round(statistics.median(floor) / ideal, 3)
                    if floor
                    else None,
                    "one_by_one_s": None if alone is None else round(alone, 3),
                    "speedup": None if alone is None else round(alone / together, 2),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--latency", type=float, default=0.3, help="of the server, in seconds")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument(
        "--widths", type=lambda text: [*map(int, text.split(","))], default=[2, 5, 8, 10]
    )
    parser.add_argument("--n-per-beam", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=64, help="in a block")
    parser.add_argument("--repeat", type=int, default=5, help="runs of which the median is shown")
    parser.add_argument(
        "--sequential", type=int, default=10, help="greatest width to also run one by one"
    )
    parser.add_argument(
        "--bare",
        action="store_true",
        help="beside it the same requests by aiohttp, without a search",
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = trio.run(measure, options)
    if options.json:
        print(json.dumps({"latency_s": options.latency, "rounds": options.rounds, "rows": rows}))
        return
    print(f"{options.rounds} rounds, the server answers in {options.latency} s")
    print(
        f"{'width':>6} {'together':>9} {'/ ideal':>8} {'worst':>7} {'bare':>7} {'one by one':>11}"
        f" {'speed-up':>9}"
    )
    for row in rows:
        alone = f"{row['one_by_one_s']:.2f} s" if row["one_by_one_s"] else "-"
        speedup = f"{row['speedup']:.2f}" if row["speedup"] else "-"
        floor = f"{row['bare_over_ideal']:.3f}" if row["bare_over_ideal"] else "-"
        print(
            f"{row['width']:>6} {row['together_s']:>7.2f} s {row['over_ideal']:>8.3f}"
            f" {row['over_ideal_worst']:>7.3f} {floor:>7} {alone:>11} {speedup:>9}"
        )


if __name__ == "__main__":
    main()
