"""Simulate a fleet of servers in virtual time: what affinity, hedging and adaptive limits are worth.

Searches, replicas, retries, hedges and limits are the library's own; only the servers are simulated
(`scripts/fleet_server.py`), behind httpx. Each batches continuously: a decoding step for m sequences takes
`base + each * m` seconds, all of them get one token per step, and a prompt's uncached tokens are work as well
(`scripts/measure_service_times.py` fits these times to a real server). Some requests stall, servers crash and
come back with an empty cache, and a server whose queue is full refuses with 503.

    uv run --extra bench python scripts/simulate_fleet.py --prompts 2000
    uv run --extra bench python scripts/simulate_fleet.py --prompts 100000 --plot docs/plots/fleet.svg
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Literal

import attrs
import httpx
import matplotlib as mpl
import matplotlib.pyplot as plt
import trio
import trio.testing
from fleet_server import Fleet, Server

from trio_beam import BeamSearchConfig, Endpoint, SearchStarted, search_many
from trio_beam.core.block import Continuation
from trio_beam.core.language_model import RequestContext, SampleRequest
from trio_beam.core.prompt import Prompt
from trio_beam.endpoint.replicas import REPLICA_RETRY, Replicas


@attrs.frozen(kw_only=True)
class Client:
    """How the client meets the fleet.

    Attributes:
        affinity: whether a search stays with one server; else each request goes to the least busy one.
        hedge_after: as at `Endpoint`.
        max_concurrent: as at `Endpoint`, for each server.
        searches: at once, for each server.
    """

    affinity: bool = True
    hedge_after: Literal["p95"] | None = None
    max_concurrent: int | Literal["auto"] = 16
    searches: int = 8


CLIENTS = {
    "no affinity": Client(affinity=False),
    "affinity": Client(),
    "affinity, hedging": Client(hedge_after="p95"),
    "limit too high": Client(max_concurrent=200, searches=30),
    "adaptive limit": Client(max_concurrent="auto", searches=30),
    "adaptive limit, hedging": Client(max_concurrent="auto", searches=30, hedge_after="p95"),
}


class Scattered:
    """A model whose every request goes to the least busy server, wherever the others went.

    Args:
        replicas: the servers.
    """

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas

    async def start(self, prompt: Prompt, context: RequestContext) -> _ScatteredSampler:
        """Take a prompt."""
        sampler = _ScatteredSampler(self._replicas, prompt)
        await trio.lowlevel.checkpoint()
        return sampler


@attrs.define
class _ScatteredSampler:
    _replicas: Replicas
    _prompt: Prompt

    async def sample(
        self, request: SampleRequest, context: RequestContext
    ) -> Sequence[Continuation]:
        async def work(endpoint: Endpoint) -> Sequence[Continuation]:
            return await (await endpoint.start(self._prompt, context)).sample(request, context)

        blocks, _ = await self._replicas.reach(work)
        return blocks


STRATEGY = BeamSearchConfig(
    beam_width=2, n_per_beam=2, tokens_per_step=32, max_tokens=64, early_stopping=False, seed=1
)


async def simulate(fleet: Fleet, client: Client, prompts: int, seed: int) -> dict[str, Any]:
    """One run over a fleet; return what came of it."""
    chance = random.Random(seed)
    servers = [Server(fleet, random.Random(chance.random())) for _ in range(fleet.replicas)]
    durations: list[float] = []
    begun: dict[int, float] = {}
    failed = 0

    def note(event: object) -> None:
        if isinstance(event, SearchStarted):
            begun[event.index] = trio.current_time()

    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        endpoints = []
        for number, server in enumerate(servers):
            nursery.start_soon(server.run)
            nursery.start_soon(server.fail)
            endpoint = Endpoint(
                f"http://replica{number}/v1",
                model="m",
                dialect="openai",
                max_concurrent=client.max_concurrent,
                hedge_after=client.hedge_after,
                retry=REPLICA_RETRY,
                http_client=httpx.AsyncClient(transport=server, timeout=None),
            )
            endpoints.append(await stack.enter_async_context(endpoint))
        replicas = Replicas(endpoints)
        model = replicas if client.affinity else Scattered(replicas)
        texts = (f"prompt{number}" for number in range(prompts))
        start = trio.current_time()
        searches = client.searches * fleet.replicas
        async with search_many(
            model, texts, STRATEGY, max_searches=searches, observers=[note]
        ) as outcomes:
            async for outcome in outcomes:
                failed += outcome.error is not None
                durations.append(trio.current_time() - begun.pop(outcome.index))
        elapsed = trio.current_time() - start
        nursery.cancel_scope.cancel()
    assert len(durations) == prompts
    done = [endpoint.statistics() for endpoint in endpoints]
    tokens = sum(server.tokens for server in servers)
    wasted = sum(server.wasted for server in servers)
    cuts = statistics.quantiles(durations, n=100, method="inclusive")
    return {
        "failed": failed,
        "prompts_per_second": prompts / elapsed,
        "median": cuts[49],
        "p99": cuts[98],
        "wasted": wasted / (tokens + wasted),
        "cached": sum(one.cached_tokens for one in servers)
        / sum(one.prompt_tokens for one in servers),
        "busy": sum(one.busy for one in servers) / elapsed / fleet.replicas,
        "requests": sum(one.attempts for one in done),
        "retries": sum(one.retries for one in done),
        "hedges": sum(one.hedges for one in done),
        "refused": sum(one.refused for one in servers),
        "crashes": sum(one.crashes for one in servers),
    }


def run(task: tuple[str, Fleet, int, int]) -> dict[str, Any]:
    name, fleet, prompts, seed = task
    clock = trio.testing.MockClock(autojump_threshold=0)
    return trio.run(simulate, fleet, CLIENTS[name], prompts, seed, clock=clock)


def plot(rows: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw bars for each client, with the same clients in all panels."""
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "fleet"  # the same picture each time
    panels = {
        "prompts per second": ("prompts_per_second", "{:.1f}", 1),
        "median, seconds": ("median", "{:.1f}", 1),
        "99th percentile, seconds": ("p99", "{:.1f}", 1),
        "wasted tokens, %": ("wasted", "{:.1f}", 100),
    }
    figure, axes = plt.subplots(1, len(panels), figsize=(11, 2.8), sharey=True)
    for axis, (title, (key, form, factor)) in zip(axes, panels.items(), strict=True):
        bars = axis.barh(list(rows), [factor * row[key] for row in rows.values()], color="#2563eb")
        axis.bar_label(bars, fmt=form, padding=2, fontsize=8)
        axis.margins(x=0.25)
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--crashes", type=float, default=Fleet().crashes, help="an hour, of each")
    parser.add_argument("--jobs", type=int, default=2, help="runs at once")
    parser.add_argument("--plot", type=Path, help="an SVG file to draw into")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    columns = {
        "searches/s": ("prompts_per_second", 1),
        "median s": ("median", 1),
        "p99 s": ("p99", 1),
        "wasted %": ("wasted", 100),
        "cached %": ("cached", 100),
        "busy %": ("busy", 100),
        "requests": ("requests", 1),
        "hedges": ("hedges", 1),
        "refused": ("refused", 1),
        "crashes": ("crashes", 1),
        "failed": ("failed", 1),
    }
    print(" " * 24 + "".join(f"{name:>12}" for name in columns), file=sys.stderr)
    fleet = Fleet(crashes=options.crashes)
    tasks = [(name, fleet, options.prompts, options.seed) for name in CLIENTS]
    rows: dict[str, dict[str, Any]] = {}
    with ProcessPoolExecutor(options.jobs) as pool:
        for name, row in zip(CLIENTS, pool.map(run, tasks), strict=True):
            rows[name] = row
            cells = (f"{factor * row[key]:>12.4g}" for key, factor in columns.values())
            print(f"{name:>24}" + "".join(cells), file=sys.stderr, flush=True)
    if options.plot:
        plot(rows, options.plot)
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
