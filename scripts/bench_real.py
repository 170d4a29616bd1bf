"""Measure tokens per second of a search on the real model, compared with plain loads.

The embedded model on llama.cpp, all slots busy. Two plain loads, by as many clients, each of which sends
its next request as soon as it has an answer, and looks at nothing but the number of tokens:

- "same requests": those that the search has sent, in their order, behind another prompt. The server has
  the same to read and to generate; what differs is the search: its own work, and waiting for the last
  beam of a round.
- "bare prompt": as many completions of the same length, all behind the bare prompt. Here the server has
  no beams to read, which is most of the difference.

All in turn, several times, the median of the ratios.

    uv run --group bench-clients --extra local python scripts/bench_real.py
    uv run --group bench-clients --extra local python scripts/bench_real.py --width 8 --n-per-beam 2 --json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from typing import Any, NamedTuple

import aiohttp
import httpx
import trio

from trio_beam import BeamSearchConfig, Endpoint, search_many
from trio_beam.http.transport import TrioTransport
from trio_beam.local.keys import local_api_key
from trio_beam.local.server import serve_local

PROMPT = "The history of the small harbour town begins long before its first"


class Run(NamedTuple):
    tokens: int
    seconds: float

    @property
    def speed(self) -> float:
        return self.tokens / self.seconds


async def search(base_url: str, options: argparse.Namespace, seed: int) -> tuple[Run, list[bytes]]:
    """A run, and what it has sent."""
    config = BeamSearchConfig(
        beam_width=options.width,
        n_per_beam=options.n_per_beam,
        tokens_per_step=options.block,
        max_tokens=options.block * options.rounds,
        proposal_temperature=1.0,
        early_stopping=False,
        seed=seed,
    )
    tokens = 0
    sent: list[bytes] = []

    async def note(request: httpx.Request) -> None:  # noqa: ASYNC124  # httpx awaits it
        if request.url.path == "/completion":
            sent.append(request.content)

    prompts = [f"{PROMPT} ({seed}.{number})" for number in range(options.searches)]
    async with (
        # Only to see what is sent; an endpoint's own connections would be cheaper.
        httpx.AsyncClient(
            transport=TrioTransport(), timeout=None, event_hooks={"request": [note]}
        ) as client,
        Endpoint(base_url, max_concurrent=options.clients, http_client=client) as endpoint,
    ):
        start = time.perf_counter()
        async with search_many(
            endpoint, prompts, config, max_searches=options.searches
        ) as outcomes:
            async for outcome in outcomes:
                if outcome.result is None:
                    raise SystemExit(f"a search failed: {outcome.error}")
                tokens += outcome.result.usage.completion_tokens
        return Run(tokens, time.perf_counter() - start), sent


def plain_load(base_url: str, options: argparse.Namespace, bodies: list[bytes]) -> Run:
    """These requests, by `clients` clients."""

    async def main() -> Run:
        tokens = 0
        left = iter(bodies)
        url = base_url.removesuffix("/v1") + "/completion"

        async def client(session: aiohttp.ClientSession) -> None:
            nonlocal tokens
            for body in left:
                async with session.post(url, data=body) as response:
                    answer = await response.json()
                choices = answer if isinstance(answer, list) else [answer]
                tokens += sum(len(choice["tokens"]) for choice in choices)

        key = f"Bearer {local_api_key(base_url)}"
        headers = {"content-type": "application/json", "authorization": key}
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(), headers=headers
        ) as session:
            start = time.perf_counter()
            await asyncio.gather(*(client(session) for _ in range(options.clients)))
            return Run(tokens, time.perf_counter() - start)

    return asyncio.run(main())


def moved(body: bytes, bare: bool) -> bytes:
    """A request behind another prompt, so that nothing of it has been read before."""
    fields = json.loads(body)
    text, *ids = fields["prompt"]
    fields["prompt"] = [text.replace("(", "(1"), *([] if bare else ids)]
    return json.dumps(fields).encode()


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    speeds: dict[str, list[float]] = {"search": [], "same requests": [], "bare prompt": []}
    async with trio.open_nursery() as nursery:
        base_url: str = await nursery.start(lambda **kw: serve_local(slots=options.slots, **kw))
        await search(base_url, options, 0)
        for number in range(1, options.repeat + 1):
            found, sent = await search(base_url, options, number)
            speeds["search"].append(found.speed)
            for name, bare in (("same requests", False), ("bare prompt", True)):
                bodies = [moved(body, bare) for body in sent]
                load = await trio.to_thread.run_sync(plain_load, base_url, options, bodies)
                speeds[name].append(load.speed)
        nursery.cancel_scope.cancel()
    return {
        name: {
            "tokens_per_s": round(statistics.median(values), 1),
            "search_over_it": round(
                statistics.median(
                    ours / theirs for ours, theirs in zip(speeds["search"], values, strict=True)
                ),
                3,
            ),
            "ratios": [
                round(ours / theirs, 3)
                for ours, theirs in zip(speeds["search"], values, strict=True)
            ],
        }
        for name, values in speeds.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--slots", type=int, default=8, help="of the server")
    parser.add_argument(
        "--clients", type=int, default=4, help="requests in flight; each takes n-per-beam slots"
    )
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--n-per-beam", type=int, default=2)
    parser.add_argument("--block", type=int, default=32, help="tokens in a block")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--searches", type=int, default=2, help="at the same time")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = trio.run(measure, options)
    if options.json:
        print(json.dumps(vars(options) | found))
        return
    print(
        f"{options.searches} searches at once, {options.width} beams x {options.n_per_beam} samples x"
        f" {options.rounds} blocks of {options.block} tokens, {options.slots} slots,"
        f" {options.clients} clients"
    )
    print(f"{'':>14} {'tokens/s':>9} {'search over it':>15}   each run")
    for name, row in found.items():
        print(
            f"{name:>14} {row['tokens_per_s']:>9.1f} {row['search_over_it']:>15.3f}   {row['ratios']}"
        )


if __name__ == "__main__":
    main()
