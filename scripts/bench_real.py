"""Tokens a second of a search on the real model, against a plain load of the same shape.

The embedded model on llama.cpp. The plain load asks for as many completions of the same length, by as
many clients, with no search: each client sends its next request as soon as it has an answer, always
behind the bare prompt, and looks at nothing but the number of tokens. So what a search adds is all
counted against it: waiting for the last beam of a round, reading each beam's prefix again, and its
own work. Both in turn, several times, the median of the ratios.

    uv run --group bench python scripts/bench_real.py
    uv run --group bench python scripts/bench_real.py --width 8 --n-per-beam 2 --json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from typing import Any, NamedTuple

import aiohttp
import trio

from trio_beam import BeamSearchConfig, Endpoint, search_many
from trio_beam.local_server import serve_local

PROMPT = "The history of the small harbour town begins long before its first"


class Run(NamedTuple):
    tokens: int
    requests: int
    seconds: float

    @property
    def speed(self) -> float:
        return self.tokens / self.seconds


async def search(base_url: str, options: argparse.Namespace, seed: int) -> Run:
    config = BeamSearchConfig(
        beam_width=options.width,
        n_per_beam=options.n_per_beam,
        tokens_per_step=options.block,
        max_tokens=options.block * options.rounds,
        proposal_temperature=1.0,
        early_stopping=False,
        seed=seed,
    )
    tokens = requests = 0
    prompts = [f"{PROMPT} ({number})" for number in range(options.searches)]
    async with Endpoint(base_url, max_concurrent=options.slots) as endpoint:
        start = time.perf_counter()
        async with search_many(
            endpoint, prompts, config, max_searches=options.searches
        ) as outcomes:
            async for outcome in outcomes:
                if outcome.result is None:
                    raise SystemExit(f"a search failed: {outcome.error}")
                tokens += outcome.result.usage.completion_tokens
                requests += outcome.result.usage.requests
        return Run(tokens, requests, time.perf_counter() - start)


def plain_load(base_url: str, options: argparse.Namespace, completions: int, seed: int) -> Run:
    """`completions` blocks by `slots` clients."""

    async def main() -> Run:
        left, tokens = completions, 0
        url = base_url.removesuffix("/v1") + "/completion"

        async def client(session: aiohttp.ClientSession) -> None:
            nonlocal left, tokens
            while left > 0:
                left -= 1
                body = {
                    "prompt": f"{PROMPT} ({left % options.searches})",
                    "n_predict": options.block,
                    "temperature": 1.0,
                    "top_k": 0,
                    "top_p": 1.0,
                    "min_p": 0.0,
                    "n_probs": options.n_probs,
                    "seed": seed + left,
                }
                async with session.post(url, json=body) as response:
                    tokens += (await response.json())["tokens_predicted"]

        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout()) as session:
            start = time.perf_counter()
            await asyncio.gather(*(client(session) for _ in range(options.slots)))
            return Run(tokens, completions, time.perf_counter() - start)

    return asyncio.run(main())


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    ratios, searches, loads = [], [], []
    samples = options.width * options.n_per_beam * options.rounds * options.searches
    async with trio.open_nursery() as nursery:
        base_url: str = await nursery.start(lambda **kw: serve_local(slots=options.slots, **kw))
        await search(base_url, options, 0)
        for number in range(1, options.repeat + 1):
            found = await search(base_url, options, number)
            load = await trio.to_thread.run_sync(
                plain_load, base_url, options, samples, 1000 * number
            )
            searches.append(found.speed)
            loads.append(load.speed)
            ratios.append(found.speed / load.speed)
        nursery.cancel_scope.cancel()
    return {
        "search_tokens_per_s": round(statistics.median(searches), 1),
        "plain_tokens_per_s": round(statistics.median(loads), 1),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "tokens_a_search_run": found.tokens,
        "requests_a_search_run": found.requests,
        "completions": samples,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--slots", type=int, default=8, help="of the server; as many clients")
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--n-per-beam", type=int, default=2)
    parser.add_argument("--block", type=int, default=32, help="tokens in a block")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--searches", type=int, default=2, help="at the same time")
    parser.add_argument(
        "--n-probs", type=int, default=1, help="log-probabilities that the plain load asks for"
    )
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = trio.run(measure, options)
    if options.json:
        print(json.dumps(vars(options) | found))
        return
    print(
        f"{options.searches} searches at once, {options.width} beams x {options.n_per_beam} samples x"
        f" {options.rounds} blocks of {options.block} tokens, {options.slots} slots"
    )
    print(f"search      {found['search_tokens_per_s']:>8.1f} tokens/s")
    print(f"plain load  {found['plain_tokens_per_s']:>8.1f} tokens/s")
    print(f"ratio       {found['ratio']:>8.3f}   (each run: {found['ratios']})")


if __name__ == "__main__":
    main()
