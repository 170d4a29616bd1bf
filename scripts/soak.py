"""Thousands of requests with faults, cancellations and hedges: is any result wrong, lost or doubled?

Every search is compared with the same one on a server without faults. At the end, neither side may hold a
connection, and memory must not have grown.

    uv run python scripts/soak.py
    uv run python scripts/soak.py --requests 2000 --seed 7
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import time
import tracemalloc
from collections import Counter
from typing import Any

import attrs
import trio

from trio_beam import BeamSearchConfig, Endpoint, RetryPolicy, SearchFailed, beam_search

PROMPTS = [f"prompt {number}:" for number in range(40)]
WORDS = (" alpha", " beta", " gamma", " delta", " épsilon", " 日本")
CONFIG = BeamSearchConfig(
    beam_width=3, n_per_beam=2, tokens_per_step=4, max_tokens=16, seed=3, early_stopping=False
)
RETRY = RetryPolicy(attempts=12, wait_initial=0.001, wait_max=0.01)
#: Share of the requests that meet each fault, and of the searches that are cancelled.
FAULTS = {"busy": 0.03, "error": 0.03, "reset": 0.03, "cut": 0.03, "garbage": 0.03, "slow": 0.05}
CANCELLED = 0.2


@attrs.define
class Server:
    """Answers by prompt and seed only; what goes wrong depends on chance.

    Attributes:
        chance: for the faults; None: there are none.
        met: faults so far.
        open: connections now.
    """

    chance: random.Random | None
    met: Counter[str] = attrs.field(factory=Counter)
    open: int = 0
    empty: trio.Event = attrs.field(factory=trio.Event)

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection."""
        self.open += 1
        self.empty = trio.Event()
        try:
            while (body := await _read(stream)) is not None:
                if not await self._answer(stream, _response(body)):
                    break
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.met["gone"] += 1
        finally:
            self.open -= 1
            if not self.open:
                self.empty.set()
            await trio.aclose_forcefully(stream)

    async def _answer(self, stream: trio.SocketStream, right: bytes) -> bool:
        """Send a response, or something else; return whether the connection goes on."""
        fault = self._fault()
        self.met[fault] += 1
        match fault:
            case "busy":
                await stream.send_all(_http(b'{"error":"busy"}', "429 Busy", "retry-after: 0\r\n"))
            case "error":
                await stream.send_all(_http(b"oops", "500 Error"))
            case "garbage":
                await stream.send_all(_http(right[: len(right) // 2]))
            case "cut":
                await stream.send_all(_http(right)[:-20])
            case "slow":
                await trio.sleep(0.1)
                await stream.send_all(_http(right))
            case "none":
                await stream.send_all(_http(right))
        return fault not in ("cut", "reset")

    def _fault(self) -> str:
        if self.chance is None:
            return "none"
        names = [*FAULTS, "none"]
        return self.chance.choices(names, [*FAULTS.values(), 1 - sum(FAULTS.values())])[0]


async def _read(stream: trio.SocketStream) -> dict[str, Any] | None:
    data = bytearray()
    while b"\r\n\r\n" not in data:
        more = await stream.receive_some()
        if not more:
            return None
        data += more
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split()[0])
    while len(body) < length:
        body += await stream.receive_some()
    found: dict[str, Any] = json.loads(body)
    return found


def _http(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\n{headers}content-length: {len(body)}\r\n\r\n".encode() + body


def _response(body: dict[str, Any]) -> bytes:
    choices = []
    for index in range(body.get("n", 1)):
        source = random.Random(f"{body['prompt']}|{body['seed'] + index}")
        tokens = source.choices(WORDS, k=body["max_tokens"])
        values = [-source.random() - 0.01 for _ in tokens]
        logprobs = {"tokens": tokens, "token_logprobs": values}
        choice = {"index": index, "text": "".join(tokens), "finish_reason": "length"}
        choices.append(choice | {"logprobs": logprobs})
    return json.dumps({"choices": choices}).encode()


@attrs.define
class Soak:
    """Searches until so many requests were sent, and what became of them."""

    endpoint: Endpoint
    right: dict[str, tuple[str, float]]
    requests: int
    chance: random.Random
    outcomes: Counter[str] = attrs.field(factory=Counter)

    async def work(self) -> None:
        """One search after the other."""
        while self.endpoint.statistics().attempts < self.requests:
            prompt = self.chance.choice(PROMPTS)
            cancelled = self.chance.random() < CANCELLED
            seconds = self.chance.random() * 0.2 if cancelled else 60
            with trio.move_on_after(seconds) as scope:
                self.outcomes[await self._search(prompt)] += 1
            if scope.cancelled_caught:
                self.outcomes["cancelled" if cancelled else "lost"] += 1

    async def _search(self, prompt: str) -> str:
        try:
            result = await beam_search(self.endpoint, prompt, CONFIG)
        except SearchFailed:
            return "failed"
        texts = [beam.text for beam in result.beams]
        if len(set(texts)) < len(texts):
            return "doubled"
        return "right" if (result.text, result.score) == self.right[prompt] else "wrong"


async def references() -> dict[str, tuple[str, float]]:
    """What every search finds where nothing goes wrong."""
    found = {}
    async with trio.open_nursery() as nursery:
        url = await _listen(nursery, Server(None))
        async with Endpoint(url, model="m", dialect="openai") as endpoint:
            for prompt in PROMPTS:
                result = await beam_search(endpoint, prompt, CONFIG)
                found[prompt] = result.text, result.score
        nursery.cancel_scope.cancel()
    return found


async def _listen(nursery: trio.Nursery, server: Server) -> str:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, server.serve, listeners)
    return f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/v1"


async def soak(options: argparse.Namespace) -> dict[str, Any]:
    """All of it; returns the figures."""
    right = await references()
    server = Server(random.Random(options.seed))
    async with trio.open_nursery() as nursery:
        url = await _listen(nursery, server)
        endpoint = Endpoint(
            url, model="m", dialect="openai", retry=RETRY, hedge_after=0.05, max_concurrent=64
        )
        async with endpoint:
            begun = time.monotonic()
            run = Soak(endpoint, right, options.requests // 4, random.Random(options.seed))
            tracemalloc.start()
            await _all(run)
            gc.collect()
            before, _ = tracemalloc.get_traced_memory()
            run.requests = options.requests
            await _all(run)
            gc.collect()
            after, peak = tracemalloc.get_traced_memory()
            seconds = time.monotonic() - begun
            counts = attrs.asdict(endpoint.statistics())
        with trio.move_on_after(5):
            await server.empty.wait()
        nursery.cancel_scope.cancel()
    return {
        "outcomes": dict(run.outcomes),
        "faults": dict(server.met),
        "statistics": counts,
        "connections left at the server": server.open,
        "KiB more after the last three quarters": (after - before) // 1024,
        "MiB at most": round(peak / 2**20, 1),
        "seconds": round(seconds),
    }


async def _all(run: Soak) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(12):
            nursery.start_soon(run.work)


def main() -> None:
    """Print the figures; exit with 1 if anything is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    found = trio.run(soak, parser.parse_args())
    print(json.dumps(found, indent=2, ensure_ascii=False))
    bad = sum(found["outcomes"].get(kind, 0) for kind in ("wrong", "lost", "doubled", "failed"))
    left = found["statistics"]["in_flight"] + found["statistics"]["waiting"]
    left += found["connections left at the server"]
    if bad or left or found["KiB more after the last three quarters"] > 2048:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
