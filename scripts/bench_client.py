"""What a request costs the client: CPU (user + system) of this process, for each request.

Answers of about 30 KB (192 tokens with 5 top log-probabilities) over loopback, warm keep-alive, from a
server in processes of their own. Side by side in one run: our endpoint (decoded, scored and made
into a continuation), AsyncOpenAI, aiohttp with the same decoder, and httpx with its own pool.

    uv run --group bench python scripts/bench_client.py
    uv run --group bench python scripts/bench_client.py --concurrency 100 --json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import openai
import trio

from trio_beam import BeamSearchConfig, Endpoint
from trio_beam.core.beam import Beam
from trio_beam.core.prompt import Prompt
from trio_beam.core.usage import Ledger
from trio_beam.dialects.openai import decode_without_top as _decode
from trio_beam.language_model import Call, SampleRequest
from trio_beam.stopwatch import Stopwatch

TOKENS = 192
BODY = {"model": "m", "prompt": "Once upon a time", "max_tokens": TOKENS, "logprobs": 5}


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


Measured = dict[str, float]


def timed(requests: int, start: tuple[float, float]) -> Measured:
    return {
        "cpu_us": (cpu() - start[0]) / requests * 1e6,
        "wall_us": (time.perf_counter() - start[1]) / requests * 1e6,
    }


async def in_trio(one: Callable[[], Awaitable[Any]], concurrency: int, requests: int) -> None:
    left = requests

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await one()

    async with trio.open_nursery() as nursery:
        for _ in range(concurrency):
            nursery.start_soon(worker)


async def in_asyncio(one: Callable[[], Awaitable[Any]], concurrency: int, requests: int) -> None:
    left = requests

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await one()

    await asyncio.gather(*(worker() for _ in range(concurrency)))


def ours(url: str, concurrency: int, requests: int) -> Measured:
    async def main() -> Measured:
        async with Endpoint(
            f"{url}/v1", model="m", dialect="openai", max_concurrent=concurrency
        ) as endpoint:
            config = BeamSearchConfig()
            request = SampleRequest(
                beam=Beam(),
                n=1,
                max_tokens=TOKENS,
                temperature=config.proposal_temperature,
                top_logprobs=0,
                seed=None,
            )
            call = Call(
                ledger=Ledger(),
                emit=lambda _: None,
                stopwatch=Stopwatch(trio.CancelScope(), float("inf")),
            )
            sampler = await endpoint.start(Prompt(text="Once upon a time"), call)

            async def one() -> None:
                call = Call(
                    ledger=Ledger(),
                    emit=lambda _: None,
                    stopwatch=Stopwatch(trio.CancelScope(), float("inf")),
                )
                await sampler.sample(request, call)

            await in_trio(one, concurrency, concurrency * 2)
            start = cpu(), time.perf_counter()
            await in_trio(one, concurrency, requests)
            return timed(requests, start)

    return trio.run(main)


def httpx_pool(url: str, concurrency: int, requests: int) -> Measured:
    async def main() -> Measured:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        async with httpx.AsyncClient(limits=limits, timeout=None) as client:

            async def one() -> None:
                response = await client.post(f"{url}/v1/completions", json=BODY)
                _decode(response.content)

            await in_trio(one, concurrency, concurrency * 2)
            start = cpu(), time.perf_counter()
            await in_trio(one, concurrency, requests)
            return timed(requests, start)

    return trio.run(main)


def async_openai(url: str, concurrency: int, requests: int) -> Measured:
    async def main() -> Measured:
        async with openai.AsyncOpenAI(api_key="k", base_url=f"{url}/v1") as client:

            async def one() -> None:
                await client.completions.create(**BODY)  # type: ignore[call-overload]

            await in_asyncio(one, concurrency, concurrency * 2)
            start = cpu(), time.perf_counter()
            await in_asyncio(one, concurrency, requests)
            return timed(requests, start)

    return asyncio.run(main())


def aiohttp_msgspec(url: str, concurrency: int, requests: int) -> Measured:
    async def main() -> Measured:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def one() -> None:
                async with session.post(f"{url}/v1/completions", json=BODY) as response:
                    _decode(await response.read())

            await in_asyncio(one, concurrency, concurrency * 2)
            start = cpu(), time.perf_counter()
            await in_asyncio(one, concurrency, requests)
            return timed(requests, start)

    return asyncio.run(main())


CLIENTS = {
    "trio_beam": ours,
    "AsyncOpenAI": async_openai,
    "aiohttp + msgspec": aiohttp_msgspec,
    "httpx's own pool": httpx_pool,
}


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    server = subprocess.Popen(
        [
            sys.executable,
            str(Path(__file__).with_name("bench_server.py")),
            "--top",
            "5",
            "--latency",
            "0",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    rows = []
    try:
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        for concurrency in options.concurrency:
            found: dict[str, list[Measured]] = {name: [] for name in options.clients}
            for _ in range(options.repeat):  # in turn, so that a slow minute is everybody's
                for name in options.clients:
                    found[name].append(CLIENTS[name](url, concurrency, options.requests))
            for name, runs in found.items():
                row: dict[str, Any] = {"client": name, "concurrency": concurrency}
                for key in ("cpu_us", "wall_us"):
                    row[key] = round(statistics.median(run[key] for run in runs), 1)
                rows.append(row)
    finally:
        server.stdin.close()
        server.wait()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    numbers = lambda text: [*map(int, text.split(","))]  # noqa: E731
    parser.add_argument("--concurrency", type=numbers, default=[10, 100, 1000])
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--clients", type=lambda t: t.split(","), default=list(CLIENTS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measure(options)
    if options.json:
        print(json.dumps(rows))
        return
    base = {row["concurrency"]: row["cpu_us"] for row in rows if row["client"] == "AsyncOpenAI"}
    print(f"{'client':>20} {'at once':>8} {'CPU':>10} {'/ AsyncOpenAI':>14}")
    for row in rows:
        ratio = row["cpu_us"] / base[row["concurrency"]] if base else float("nan")
        print(
            f"{row['client']:>20} {row['concurrency']:>8} {row['cpu_us']:>7.0f} us {ratio:>14.3f}"
        )


if __name__ == "__main__":
    main()
