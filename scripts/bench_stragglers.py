"""Measure the cost of a few slow responses to a search, with and without hedging.

5 % of the requests take 15 times as long. Each row is the median time of a search over its ideal
(rounds x latency); "against none" is over the same client's time without stragglers. Beside ours the
way of the asyncio original: `asyncio.gather` over AsyncOpenAI, a round after the other.

    uv run --group bench-clients python scripts/bench_stragglers.py
    uv run --group bench-clients python scripts/bench_stragglers.py --width 5 --json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from typing import Any

import bench_server
import openai
import trio

from trio_beam import BeamSearchConfig, Endpoint, beam_search


async def ours(url: str, options: argparse.Namespace, hedge_after: Any) -> float:
    config = BeamSearchConfig(
        beam_width=options.width,
        n_per_beam=2,
        tokens_per_step=16,
        max_tokens=16 * options.rounds,
        early_stopping=False,
    )
    async with Endpoint(
        f"{url}/v1",
        model="bench",
        dialect="openai",
        max_concurrent=10_000,
        max_n=2,
        hedge_after=hedge_after,
    ) as endpoint:
        await beam_search(endpoint, "Once upon a time", config)
        start = trio.current_time()
        await beam_search(endpoint, "Once upon a time", config)
        return trio.current_time() - start


def gathered(url: str, options: argparse.Namespace) -> float:
    """The original's loop: all beams of a round, and the next round when the last is in."""

    async def main() -> float:
        async with openai.AsyncOpenAI(api_key="k", base_url=f"{url}/v1") as client:

            async def expand(text: str) -> list[tuple[float, str]]:
                answer = await client.completions.create(
                    model="bench", prompt=text, n=2, max_tokens=16, logprobs=1
                )
                return [
                    (sum(filter(None, choice.logprobs.token_logprobs or [])), text + choice.text)
                    for choice in answer.choices
                    if choice.logprobs
                ]

            start = time.perf_counter()
            beams = ["Once upon a time"] * options.width
            for _ in range(options.rounds):
                found = await asyncio.gather(*(expand(text) for text in beams))
                best = sorted((one for some in found for one in some), reverse=True)
                beams = [text for _, text in best[: options.width]]
            return time.perf_counter() - start

    return asyncio.run(main())


async def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    ways: list[tuple[str, Any]] = [
        ("trio_beam", None),
        ("trio_beam, hedge_after=p95", "p95"),
        (f"trio_beam, hedge_after={1.1 * options.latency:g}", 1.1 * options.latency),
    ]
    ideal = options.rounds * options.latency
    rows: list[dict[str, Any]] = []
    times: dict[tuple[str, float], list[float]] = {}
    for share in (0.0, options.share):
        async with bench_server.running(
            options.latency, stragglers=share, times=options.times
        ) as url:
            await ours(url, options, None)  # imports and the like are not counted
            for _ in range(options.repeat):  # in turn, so that a slow minute is everybody's
                for name, hedge_after in ways:
                    elapsed = await ours(url, options, hedge_after)
                    times.setdefault((name, share), []).append(elapsed)
                elapsed = await trio.to_thread.run_sync(gathered, url, options)
                times.setdefault(("asyncio.gather", share), []).append(elapsed)
    for name in [*dict(ways), "asyncio.gather"]:
        none = statistics.median(times[name, 0.0])
        some = statistics.median(times[name, options.share])
        rows.append(
            {
                "client": name,
                "none_over_ideal": round(none / ideal, 3),
                "some_over_ideal": round(some / ideal, 3),
                "against_none": round(some / none, 3),
                "worst_against_none": round(max(times[name, options.share]) / none, 3),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--latency", type=float, default=0.2, help="of the server, in seconds")
    parser.add_argument("--share", type=float, default=0.05, help="of requests that straggle")
    parser.add_argument("--times", type=float, default=15, help="how many times as long they take")
    parser.add_argument("--width", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = trio.run(measure, options)
    if options.json:
        print(json.dumps(vars(options) | {"rows": rows}))
        return
    print(
        f"width {options.width}, {options.rounds} rounds of {options.latency} s;"
        f" {options.share:.0%} of the requests take {options.times:g} times as long"
    )
    print(f"{'':>28} {'none':>7} {'some':>7} {'some / none':>12} {'worst':>7}")
    for row in rows:
        print(
            f"{row['client']:>28} {row['none_over_ideal']:>7.2f} {row['some_over_ideal']:>7.2f}"
            f" {row['against_none']:>12.2f} {row['worst_against_none']:>7.2f}"
        )


if __name__ == "__main__":
    main()
