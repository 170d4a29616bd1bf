"""Measure client CPU time (user + system) per request.

Responses of about 30 KB (192 tokens with 5 top log-probabilities) over loopback, warm keep-alive, from a
server in a separate process. Compared in one run: our endpoint, AsyncOpenAI, aiohttp with the
same decoder (the same request, and its answer made into the same scored continuation), the same with
bare Trio sockets, aiohttp with `json`, and httpx with its own pool. "growth" is against the same
client's lowest concurrency shown that is at least 100.

    uv run --group bench-clients python scripts/bench_client.py
    uv run --group bench-clients python scripts/bench_client.py --concurrency 100 --json
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
from trio_beam.core.language_model import RequestContext, SampleRequest
from trio_beam.core.prompt import Prompt
from trio_beam.core.usage_meter import UsageMeter
from trio_beam.dialects.common.exchange import Exchange
from trio_beam.dialects.common.limits import Limits
from trio_beam.dialects.openai import OpenAI
from trio_beam.engine.deadline import PausableDeadline

TOKENS = 192
BODY: dict[str, Any] = {
    "model": "m",
    "prompt": "Once upon a time",
    "max_tokens": TOKENS,
    "logprobs": 5,
}


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


def sample_request() -> SampleRequest:
    return SampleRequest(
        beam=Beam(),
        n=1,
        max_tokens=TOKENS,
        temperature=BeamSearchConfig().proposal_temperature,
        top_logprobs=0,
        seed=None,
    )


def ours(url: str, concurrency: int, requests: int) -> Measured:
    async def main() -> Measured:
        async with Endpoint(
            f"{url}/v1", model="m", dialect="openai", max_concurrent=concurrency
        ) as endpoint:
            request = sample_request()

            def context() -> RequestContext:
                deadline = PausableDeadline(trio.CancelScope(), float("inf"))
                return RequestContext(meter=UsageMeter(), emit=lambda _: None, deadline=deadline)

            sampler = await endpoint.start(Prompt(text=BODY["prompt"]), context())

            async def one() -> None:
                [continuation] = await sampler.sample(request, context())
                assert len(continuation) == TOKENS

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
                json.loads(response.content)

            await in_trio(one, concurrency, concurrency * 2)
            start = cpu(), time.perf_counter()
            await in_trio(one, concurrency, requests)
            return timed(requests, start)

    return trio.run(main)


def async_openai(url: str, concurrency: int, requests: int) -> Measured:
    async def main() -> Measured:
        async with openai.AsyncOpenAI(api_key="k", base_url=f"{url}/v1") as client:

            async def one() -> None:
                await client.completions.create(**BODY)

            await in_asyncio(one, concurrency, concurrency * 2)
            start = cpu(), time.perf_counter()
            await in_asyncio(one, concurrency, requests)
            return timed(requests, start)

    return asyncio.run(main())


def in_aiohttp(
    url: str, concurrency: int, requests: int, one: Callable[[aiohttp.ClientSession], Any]
) -> Measured:
    async def main() -> Measured:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(url, connector=connector) as session:
            await in_asyncio(lambda: one(session), concurrency, concurrency * 2)
            start = cpu(), time.perf_counter()
            await in_asyncio(lambda: one(session), concurrency, requests)
            return timed(requests, start)

    return asyncio.run(main())


def aiohttp_same_decoder(url: str, concurrency: int, requests: int) -> Measured:
    dialect = OpenAI("m", "auto", Limits())
    prepared = finish(dialect.prepare(Prompt(text=BODY["prompt"])), None)
    request = sample_request()

    async def one(session: aiohttp.ClientSession) -> None:
        exchange = dialect.sample(prepared, request)
        wire = next(exchange)
        async with session.post("/v1" + wire.path, data=wire.body) as response:
            decoded = wire.decode(await response.read())
        [continuation] = finish(exchange, decoded).continuations
        assert len(continuation) == TOKENS

    return in_aiohttp(url, concurrency, requests, one)


def bare_sockets(url: str, concurrency: int, requests: int) -> Measured:
    """The minimum work of any client on Trio: of the head, it parses only the length."""
    dialect = OpenAI("m", "auto", Limits())
    prepared = finish(dialect.prepare(Prompt(text=BODY["prompt"])), None)
    request = sample_request()
    port = int(url.rpartition(":")[2])
    head = b"POST /v1/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: %d\r\n\r\n"

    async def main() -> Measured:
        idle = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(concurrency)]
        streams = list(idle)

        async def one() -> None:
            exchange = dialect.sample(prepared, request)
            wire = next(exchange)
            assert wire.body is not None
            stream = idle.pop()
            await stream.send_all(head % len(wire.body) + wire.body)
            data = bytearray(await stream.receive_some(65536))
            start = data.index(b"\r\n\r\n") + 4
            end = start + int(data[:start].partition(b"content-length: ")[2])
            while len(data) < end:
                data += await stream.receive_some(65536)
            idle.append(stream)
            answer = finish(exchange, wire.decode(bytes(data[start:])))
            [continuation] = answer.continuations
            assert len(continuation) == TOKENS

        try:
            await in_trio(one, concurrency, concurrency * 2)
            start = cpu(), time.perf_counter()
            await in_trio(one, concurrency, requests)
            return timed(requests, start)
        finally:
            for stream in streams:
                stream.socket.close()

    return trio.run(main)


def finish(exchange: Exchange[Any], answer: Any) -> Any:
    try:
        exchange.send(answer)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("one request more than was expected")


def aiohttp_json(url: str, concurrency: int, requests: int) -> Measured:
    async def one(session: aiohttp.ClientSession) -> None:
        async with session.post("/v1/completions", json=BODY) as response:
            json.loads(await response.read())

    return in_aiohttp(url, concurrency, requests, one)


HTTPX = "httpx's own pool"
#: Beyond it takes minutes, and fails of itself with "this socket was already closed".
HTTPX_MOST = 100

CLIENTS = {
    "trio_beam": ours,
    "AsyncOpenAI": async_openai,
    "aiohttp, same decoder": aiohttp_same_decoder,
    "Trio, same decoder": bare_sockets,
    "aiohttp, json": aiohttp_json,
    HTTPX: httpx_pool,
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
                    if name == HTTPX and concurrency > HTTPX_MOST:
                        continue
                    found[name].append(CLIENTS[name](url, concurrency, options.requests))
            for name, runs in found.items():
                if not runs:
                    continue
                row: dict[str, Any] = {"client": name, "concurrency": concurrency}
                for key in ("cpu_us", "wall_us"):
                    row[key] = round(statistics.median(run[key] for run in runs), 1)
                rows.append(row)
    finally:
        server.stdin.close()
        server.wait()
    compare(rows)
    return rows


def compare(rows: list[dict[str, Any]]) -> None:
    of = {(row["client"], row["concurrency"]): row["cpu_us"] for row in rows}
    least = min((at for _, at in of if at >= 100), default=None)
    for row in rows:
        openai_us = of.get(("AsyncOpenAI", row["concurrency"]))
        least_us = of.get((row["client"], least)) if row["concurrency"] != least else None
        row["against_openai"] = openai_us and round(row["cpu_us"] / openai_us, 3)
        row["growth"] = (
            round(row["cpu_us"] / least_us, 2) if least_us and row["concurrency"] > 100 else None
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    numbers = lambda text: [*map(int, text.split(","))]  # noqa: E731
    parser.add_argument("--concurrency", type=numbers, default=[10, 100, 1000])
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--repeat", type=int, default=3)
    # Their names have commas in them.
    named = lambda text: [name for name in CLIENTS if name in text]  # noqa: E731
    parser.add_argument("--clients", type=named, default=list(CLIENTS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measure(options)
    if options.json:
        print(json.dumps(rows))
        return
    print(f"{'client':>22} {'at once':>8} {'CPU':>10} {'/ AsyncOpenAI':>14} {'growth':>7}")
    for row in rows:
        ratio, growth = row["against_openai"], row["growth"]
        print(
            f"{row['client']:>22} {row['concurrency']:>8} {row['cpu_us']:>7.0f} us"
            f" {'-' if ratio is None else f'{ratio:.3f}':>14}"
            f" {'-' if growth is None else f'{growth:.2f}':>7}"
        )


if __name__ == "__main__":
    main()
