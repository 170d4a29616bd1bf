"""A completion server for benchmarks: answers after a fixed latency, with as little work as possible.

It runs in a process of its own, so that its work is not counted as the client's. It speaks the
OpenAI completions call and llama.cpp's own, and prints its port. A share of its answers may take many
times as long as the others. Started by the benchmarks.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path

import trio

_NUMBER = {
    name: re.compile(rb'"%s":\s*(\d+)' % name.encode())
    for name in ("n", "n_cmpl", "max_tokens", "n_predict")
}
_counter = itertools.count(1000)


def _field(body: bytes, name: str, default: int) -> int:
    found = _NUMBER[name].search(body[-400:])
    return int(found[1]) if found else default


@cache
def _rest(native: bool, tokens: int, top: int) -> tuple[str, str, str]:
    """Everything of a choice but its first token: the same for all."""
    words = [" word"] * (tokens - 1)
    if native:
        entry = {
            "id": 7,
            "token": " word",
            "bytes": list(b" word"),
            "logprob": -1.5,
            "top_logprobs": [],
        }
        return json.dumps([7] * (tokens - 1))[1:], json.dumps([entry] * (tokens - 1))[1:], ""
    logprobs = json.dumps([-1.5] * (tokens - 1))[1:]
    if top:
        row = {f" alternative{number}": -1.5 - number for number in range(top)}
        logprobs += f',"top_logprobs":{json.dumps([row] * tokens)}'
    return "".join(words), json.dumps(words)[1:], logprobs


def _choice(native: bool, tokens: int, index: int, top: int) -> str:
    first = next(_counter)
    if native:
        ids, entries, _ = _rest(True, tokens, 0)
        entry = json.dumps(
            {"id": first, "token": "x", "bytes": [120], "logprob": -1.0, "top_logprobs": []}
        )
        return (
            f'{{"index":{index},"tokens":[{first},{ids},"stop_type":"limit","tokens_evaluated":5,'
            f'"completion_probabilities":[{entry},{entries}}}'
        )
    text, words, logprobs = _rest(False, tokens, top)
    return (
        f'{{"index":{index},"text":" w{first}{text}","finish_reason":"length","logprobs":'
        f'{{"tokens":[" w{first}",{words},"token_logprobs":[-1.0,{logprobs}}}}}'
    )


def answer(path: bytes, body: bytes, top: int) -> bytes:
    """The JSON of an answer."""
    native = path == b"/completion"
    n = _field(body, "n_cmpl" if native else "n", 1)
    tokens = _field(body, "n_predict" if native else "max_tokens", 16)
    choices = ",".join(_choice(native, tokens, index, top) for index in range(n))
    if native:
        return f"[{choices}]".encode()
    return f'{{"choices":[{choices}],"usage":{{"prompt_tokens":5}}}}'.encode()


async def serve(options: argparse.Namespace) -> None:
    chance = random.Random(0)

    async def handle(stream: trio.SocketStream) -> None:
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                more = await stream.receive_some()
                if not more:
                    return
                data += more
            head, _, data = data.partition(b"\r\n\r\n")
            found = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            length = int(found[1]) if found else 0
            parts, size = [data], len(data)
            while size < length:
                parts.append(bytes(await stream.receive_some()))
                size += len(parts[-1])
            body, data = b"".join(parts)[:length], b"".join(parts)[length:]
            slow = chance.random() < options.stragglers
            await trio.sleep(options.latency * (options.times if slow else 1))
            reply = answer(head.split(b" ", 2)[1], body, options.top)
            await stream.send_all(
                b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(reply) + reply
            )

    async def guarded(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await handle(stream)

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=4096)
    print(listeners[0].socket.getsockname()[1], flush=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, guarded, listeners)
        await trio.to_thread.run_sync(sys.stdin.buffer.read)  # ends with its parent
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def running(latency: float, *, stragglers: float = 0, times: float = 1) -> AsyncIterator[str]:
    """The server as a child process, while the block runs; yields its root URL."""
    options = {"latency": latency, "stragglers": stragglers, "times": times}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, str(Path(__file__)), *words]
    process = await trio.lowlevel.open_process(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = int(await process.stdout.receive_some())
        yield f"http://127.0.0.1:{port}"
    finally:
        with trio.move_on_after(5, shield=True):
            await process.stdin.aclose()
            await process.wait()
            await process.stdout.aclose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds before each answer")
    parser.add_argument("--top", type=int, default=0, help="top log-probabilities a token")
    parser.add_argument("--stragglers", type=float, default=0, help="share of slow answers")
    parser.add_argument("--times", type=float, default=1, help="how many times as long those take")
    trio.run(serve, parser.parse_args())
