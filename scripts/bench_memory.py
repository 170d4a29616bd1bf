"""Memory that responses made to exhaust it cost a search: bytes on the wire, and at the peak.

Each row is one response to one small search (one beam of four tokens). Peaks are of `tracemalloc`.

    uv run python scripts/bench_memory.py
    uv run python scripts/bench_memory.py --json
"""

from __future__ import annotations

import argparse
import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import trio

from trio_beam import BeamSearchConfig, Endpoint, RetryPolicy, SearchFailed, beam_search

MEGABYTE = 1 << 20
CONFIG = BeamSearchConfig(beam_width=1, n_per_beam=1, tokens_per_step=4, max_tokens=4, seed=1)
HEALTHY = b'{"choices":[{"index":0,"text":" a","finish_reason":"stop","logprobs":{"tokens":[" a"],'
HEALTHY += b'"token_logprobs":[-0.5]}}]}'


def packed(head: bytes, block: bytes, times: int, window: int = 31) -> bytes:
    """A beginning and a block so many times, compressed (31: gzip, 15: zlib, -15: bare deflate)."""
    packer = zlib.compressobj(5, zlib.DEFLATED, window)
    parts = [packer.compress(head)]
    parts += [packer.compress(block) for _ in range(times)]
    return b"".join([*parts, packer.flush()])


def many(head: bytes, element: bytes) -> bytes:
    """As many elements as a small request allows bytes, by gzip."""
    return packed(head, element * (MEGABYTE // len(element)), 1)


#: Content coding, and body.
CASES: dict[str, tuple[str, bytes]] = {
    "32 MiB of empty choices, gzip": ("gzip", packed(b'{"choices":[', b"{}," * 349_525, 32)),
    "empty choices, gzip": ("gzip", many(b'{"choices":[', b"{},")),
    "log-probabilities, gzip": (
        "gzip",
        many(b'{"choices":[{"logprobs":{"content":[', b'{"token":""},'),
    ),
    "alternatives, gzip": (
        "gzip",
        many(b'{"choices":[{"logprobs":{"top_logprobs":[', b'{"a":1},'),
    ),
    "numbers, gzip": ("gzip", many(b'{"choices":[{"logprobs":{"token_logprobs":[', b"-1.5,")),
    "blanks, gzip": ("gzip", packed(b"", b" " * MEGABYTE, 32)),
    "blanks, deflate": ("deflate", packed(b"", b" " * MEGABYTE, 32, 15)),
    "blanks, bare deflate": ("deflate", packed(b"", b" " * MEGABYTE, 32, -15)),
    "gzip in gzip": ("gzip, gzip", gzip.compress(packed(b"", bytes(MEGABYTE), 64))),
    "a wide text, gzip": ("gzip", many("😀".encode(), b"x" * 1024)),
    "comments of a stream, gzip": ("gzip", packed(b"", b":\n" * (MEGABYTE // 2), 32)),
    "events of a stream, gzip": ("gzip", packed(b"", b"data:{}\n\n" * (MEGABYTE // 9), 16)),
    "choices of a stream, gzip": (
        "gzip",
        packed(b"", b'data:{"choices":[{"index":1}]}\n\n' * (MEGABYTE // 33), 16),
    ),
    "nested, gzip": ("gzip", packed(b'{"choices":', b"[" * MEGABYTE, 16)),
    "nested, plain": ("identity", b"[" * 900_000),
    "a long number": ("identity", b'{"choices":[{"index":' + b"9" * 900_000 + b"}]}"),
    "br, which is not read": ("br", b"\x8b" * 32_768),
    "zstd, which is not read": ("zstd", b"\x28\xb5\x2f\xfd" * 8192),
    "2 MiB, plain": ("identity", b" " * 2 * MEGABYTE),
    "empty choices, plain": ("identity", b'{"choices":[' + b"{}," * 340_000 + b"{}]}"),
}


async def cost(coding: str, body: bytes, *, own: bool, stream: bool) -> tuple[float, str]:
    """Return the peak in MiB of a search, and what it said, with our client or a caller's."""
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {len(body)}\r\n\r\n"

    async def serve(connection: trio.SocketStream) -> None:
        while b"\r\n\r\n" not in await connection.receive_some():
            pass
        with suppress(trio.BrokenResourceError):
            await connection.send_all(head.encode() + body)

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/v1"
        client = None if own else httpx.AsyncClient()
        policy = RetryPolicy(attempts=1)
        endpoint = Endpoint(
            url, model="m", dialect="openai", retry=policy, http_client=client, stream=stream
        )
        async with endpoint:
            tracemalloc.start()
            try:
                said = (await beam_search(endpoint, "p", CONFIG)).text
            except SearchFailed as error:
                said = str(error.failures[0].error)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        if client is not None:
            await client.aclose()
        nursery.cancel_scope.cancel()
    return peak / MEGABYTE, said.rpartition("completions: ")[2]


def figures(run: Callable[..., Any]) -> list[dict[str, Any]]:
    """A row for each case."""
    rows = []
    run("identity", HEALTHY, own=True, stream=False)
    for name, (coding, body) in CASES.items():
        stream = "stream" in name
        peak, said = run(coding, body, own=True, stream=stream)
        other, _ = run(coding, body, own=False, stream=stream)
        row = {"response": name, "KiB on the wire": round(len(body) / 1024, 1)}
        rows.append(
            row | {"MiB": round(peak, 1), "MiB, caller's client": round(other, 1), "said": said}
        )
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    def run(coding: str, body: bytes, *, own: bool, stream: bool) -> tuple[float, str]:
        async def once() -> tuple[float, str]:
            return await cost(coding, body, own=own, stream=stream)

        return trio.run(once)

    rows = figures(run)
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print(
        "| response | KiB on the wire | MiB at the peak | with a caller's client |\n|---|---|---|---|"
    )
    for row in rows:
        print("|", " | ".join(str(row[key]) for key in list(row)[:4]), "|")


if __name__ == "__main__":
    main()
