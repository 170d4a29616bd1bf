"""What a batch costs beside `search_many` alone, and whether its memory grows with the number of prompts.

Both search for the same short prompts on the same fast server, which answers at once, so that nearly all
the time is ours; by default with greedy decoding of four tokens, the least that a search can do. Each is a
process of its own, one behind the other; the processor time of a run over one prompt is taken off, which is
that of the start. On a machine with other work compare the processor times, not the rates.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import trio
from bench_server import running

from trio_beam import Endpoint, search_many
from trio_beam.strategies import make_strategy

SEARCHES = 32
SEARCH = {"strategy": "greedy", "max_tokens": 4, "seed": 1}


class Run(NamedTuple):
    """Seconds of a process and of its processor, MiB of memory after so many prompts, bytes of results."""

    wall: float
    processor: float
    memory: dict[int, float]
    written: int


def prompts(count: int) -> Iterator[str]:
    return (f"Question {number}: what is {number} + {number % 7}?" for number in range(count))


async def search_alone(url: str, count: int, out: str, search: dict[str, Any]) -> None:
    """`search_many`; a byte for each outcome in a file, which only counts them."""
    strategy = make_strategy(search.pop("strategy"), search)
    with Path(out).open("wb", buffering=0) as done:  # noqa: ASYNC230  # a byte each
        async with (
            Endpoint(url, model="m", dialect="openai") as endpoint,
            search_many(endpoint, prompts(count), strategy, max_searches=SEARCHES) as outcomes,
        ):
            async for outcome in outcomes:
                assert outcome.result is not None, outcome.error
                done.write(b"\n")


def batch_words(url: str, source: Path, out: Path, search: dict[str, Any]) -> list[str]:
    words = [
        "-m",
        "trio_beam",
        "batch",
        str(source),
        "--out",
        str(out),
        "--base-url",
        url,
        "--quiet",
    ]
    words += ["--model", "m", "--dialect", "openai", "--max-searches", str(SEARCHES)]
    for name, value in search.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return words


async def watch(words: Sequence[str], results: Path, marks: Sequence[int]) -> Run:
    """Run Python with these words; note its memory when its results have so many lines."""
    start = trio.current_time()
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)  # noqa: ASYNC220
    memory: dict[int, float] = {}
    lines = at = 0
    while True:
        pid, status, used = os.wait4(process.pid, os.WNOHANG)  # noqa: ASYNC222  # it does not wait
        if pid:
            break
        if results.exists():  # noqa: ASYNC240
            with results.open("rb") as file:
                file.seek(at)
                new = file.read()
            at, lines = at + len(new), lines + new.count(b"\n")
        due = [mark for mark in marks if mark <= lines and mark not in memory]
        memory |= dict.fromkeys(due, resident(process.pid))
        await trio.sleep(0.2)
    if status:
        raise SystemExit(f"exit code {os.waitstatus_to_exitcode(status)}: {' '.join(words)}")
    processor = used.ru_utime + used.ru_stime
    return Run(trio.current_time() - start, processor, memory, results.stat().st_size)  # noqa: ASYNC240


def resident(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


async def measure(url: str, count: int, folder: Path, search: dict[str, Any]) -> dict[str, Run]:
    """Both for so many prompts."""
    source = folder / f"{count}.jsonl"
    with source.open("w") as file:
        for number, prompt in enumerate(prompts(count)):
            file.write(json.dumps({"id": number, "prompt": prompt}) + "\n")
    marks = sorted({max(1, count // 10), max(1, count // 2), max(1, count - SEARCHES)})
    out, counted = folder / f"out-{count}", folder / f"counted-{count}"
    alone = [__file__, "--search", json.dumps(search), "--alone", url, str(count), str(counted)]
    return {
        "search_many": await watch(alone, counted, marks),
        "batch": await watch(batch_words(url, source, out, search), out / "results.jsonl", marks),
    }


async def main(count: int, repeat: int, search: dict[str, Any], *, as_json: bool) -> None:
    async with running(0) as root:
        url = f"{root}/v1"
        found: dict[str, list[Run]] = {"search_many": [], "batch": []}
        for _ in range(repeat):
            with tempfile.TemporaryDirectory() as folder:
                start = await measure(url, 1, Path(folder), search)
                for name, run in (await measure(url, count, Path(folder), search)).items():
                    processor = run.processor - start[name].processor
                    found[name].append(run._replace(processor=processor))
    if as_json:
        print(json.dumps({name: [run._asdict() for run in runs] for name, runs in found.items()}))
        return
    for name, runs in found.items():
        for run in runs:
            print(
                f"{name:12} {count} prompts in {run.wall:.0f} s, {count / run.wall:.0f} a second;"
                f" {1e6 * run.processor / count:.0f} us of the processor each;"
                f" {run.written / count:.0f} bytes of results each; MiB after prompts: {run.memory}"
            )
    for one, other in zip(found["batch"], found["search_many"], strict=True):
        print(f"batch over search_many: {one.processor / other.processor:.2f} in processor time")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--search", type=json.loads, default=SEARCH, help="the strategy, as JSON")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--alone", nargs=3, metavar=("URL", "PROMPTS", "FILE"), help="not for you")
    options = parser.parse_args()
    if options.alone:
        url, count, out = options.alone
        trio.run(search_alone, url, int(count), out, options.search)
    else:
        trio.run(
            partial(main, options.prompts, options.repeat, options.search, as_json=options.json)
        )
