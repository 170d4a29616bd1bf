"""What the gateway costs, a load of many clients, memory, seconds to hang up, and how early text comes.

    uv run --group dev --all-extras python scripts/bench_gateway.py

The model server answers at once and runs in a process of its own, as does the gateway. Direct access is the
same request to the model server, by the same client. The last two parts need the embedded model.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import trio
from bench_server import running

from trio_beam import local_api_key, serve_local

BODY: dict[str, Any] = {"model": "m@sample", "prompt": "a", "max_tokens": 16}


@asynccontextmanager
async def gateway(*words: str) -> AsyncIterator[tuple[str, int]]:
    """The command as a process; yields its base URL and process id."""
    environment = {name: text for name, text in os.environ.items() if "OPENAI" not in name}
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "trio_beam", "serve", "--port", "0", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.receive_some()).decode().strip(), process.pid
    finally:
        process.terminate()
        with trio.move_on_after(10, shield=True):
            await process.wait()
            await process.stdout.aclose()


def resident(pid: int) -> float:
    """Memory of a process in MiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s*(\d+)", text)
    return int(found[1]) / 1024 if found else 0.0


def processor_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def milliseconds(client: httpx.AsyncClient, url: str, body: Any) -> float:
    start = trio.current_time()
    (await client.post(f"{url}/completions", json=body)).raise_for_status()
    return (trio.current_time() - start) * 1000


async def overhead(url: str, pid: int, direct: str, count: int) -> None:
    """Ask both in turn, each over one connection, so that what else the machine does slows both."""
    plain_body = {**BODY, "model": "m", "n": 1, "logprobs": 1}
    plain, ours = [], []
    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
        for _ in range(20):
            await milliseconds(client, direct, plain_body)
            await milliseconds(client, url, BODY)
        before = processor_seconds(pid)
        for _ in range(count):
            plain.append(await milliseconds(client, direct, plain_body))
            ours.append(await milliseconds(client, url, BODY))
        busy = (processor_seconds(pid) - before) / count * 1000
    for name, percent in (("median", 50), ("99th percentile", 99)):
        one, other = (statistics.quantiles(times, n=100)[percent - 1] for times in (plain, ours))
        print(
            f"{name}: direct {one:.2f} ms, gateway {other:.2f} ms, overhead {other - one:.2f} ms"
            f" ({other / one:.1f} times)"
        )
    print(f"processor time of the gateway {busy:.2f} ms a request")


async def load(url: str, pid: int, clients: int, each: int) -> None:
    """Many clients at once, each with several requests one behind the other."""
    statuses: Counter[int] = Counter()

    async def one() -> None:
        async with httpx.AsyncClient(timeout=120, trust_env=False) as client:
            for _ in range(each):
                answer = await client.post(f"{url}/completions", json=BODY)
                statuses[answer.status_code] += 1

    for _ in range(3):
        async with trio.open_nursery() as nursery:
            for _ in range(clients):
                nursery.start_soon(one)
        print(f"{clients} clients: {dict(statuses)}, {resident(pid):.0f} MiB")


async def hang_up() -> None:
    """Seconds from a client's end to idle slots of the embedded model, which is busy with a long search."""
    async with trio.open_nursery() as nursery:
        model = await nursery.start(_serve)
        headers = {"authorization": f"Bearer {local_api_key(model)}"}
        root = model.removesuffix("/v1")
        async with (
            gateway("--base-url", model) as (url, _),
            httpx.AsyncClient(headers=headers, trust_env=False, timeout=60) as watch,
        ):
            for streamed in (False, True):
                with trio.CancelScope() as scope:
                    async with (
                        httpx.AsyncClient(trust_env=False, timeout=600) as client,
                        trio.open_nursery() as asking,
                    ):
                        asking.start_soon(_ask_long, client, url, streamed)
                        while await _busy(watch, root) < 2:  # noqa: ASYNC110  # of another process
                            await trio.sleep(0.02)
                        await trio.sleep(1)
                        scope.cancel()
                start = trio.current_time()
                while await _busy(watch, root):  # noqa: ASYNC110
                    await trio.sleep(0.01)
                seconds = trio.current_time() - start
                print(f"hung up, stream={streamed}: slots idle after {seconds:.2f} s")
        nursery.cancel_scope.cancel()


QUESTIONS = (
    "What is a black hole, in one sentence?",
    "Name three colours.",
    "Why is the sky blue?",
    "What is the capital of France?",
)


async def early(aliases: Sequence[str]) -> None:
    """How early text comes: share sent before the end, and seconds to the first of it and to the last."""
    async with gateway() as (url, _), httpx.AsyncClient(trust_env=False, timeout=600) as client:
        for alias in aliases:
            rows = [await _one_stream(client, url, alias, question) for question in QUESTIONS]
            first, last, share = (statistics.mean(column) for column in zip(*rows, strict=True))
            print(f"{alias:<9} first text {first:.2f} s, last {last:.2f} s, early {share:.0%}")


async def _one_stream(
    client: httpx.AsyncClient, url: str, alias: str, question: str
) -> tuple[float, float, float]:
    body = {
        "model": f"SmolLM2-135M-Instruct@{alias}",
        "messages": [{"role": "user", "content": question}],
        "max_tokens": 48,
        "temperature": 0.6,
        "stream": True,
        "search": {"tokens_per_step": 8, "seed": 1},
    }
    start, first, share = trio.current_time(), 0.0, 0.0
    async with client.stream("POST", f"{url}/chat/completions", json=body) as response:
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line.removeprefix("data: "))
            if not first and chunk["choices"][0]["delta"].get("content"):
                first = trio.current_time() - start
            share = chunk.get("trio_beam", {}).get("settled_early", share)
    return first, trio.current_time() - start, share


async def _serve(task_status: trio.TaskStatus[str]) -> None:
    await serve_local(task_status=task_status)


async def _ask_long(client: httpx.AsyncClient, url: str, streamed: bool) -> None:
    body = {
        "model": "SmolLM2-135M-Instruct@beam-2x2",
        "prompt": "Once",
        "max_tokens": 1500,
        "stream": streamed,
        "search": {"tokens_per_step": 1500, "early_stopping": False},
    }
    await client.post(f"{url}/completions", json=body)


async def _busy(client: httpx.AsyncClient, root: str) -> int:
    slots = (await client.get(f"{root}/slots")).json()
    return sum(slot["is_processing"] for slot in slots)


async def main(options: argparse.Namespace) -> None:
    async with running(0) as server:
        words = ["--base-url", f"{server}/v1", "--model", "m", "--dialect", "openai"]
        async with gateway(*words) as (url, pid):
            await overhead(url, pid, f"{server}/v1", options.requests)
        async with gateway(*words, "--max-searches", "8", "--max-waiting", "64") as (url, pid):
            print(f"before the load: {resident(pid):.0f} MiB")
            await load(url, pid, options.clients, 5)
    if options.local:
        await hang_up()
        await early(("beam-1x1", "beam-2x2", "beam-4x2", "beam-4x4", "power-4"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=500, help="requests one by one")
    parser.add_argument("--clients", type=int, default=200, help="clients at once")
    parser.add_argument(
        "--local", action="store_true", help="also the parts with the embedded model"
    )
    trio.run(main, parser.parse_args())
