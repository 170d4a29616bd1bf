"""The server of `test_stateful`: it misbehaves as it is told to, and keeps a log of every request.

The log is what the searches are held against, so it knows nothing of trio_beam's own counting. Text
and log-probabilities depend on the prompt and the seed only, as with a server that honours seeds; the
prompt of search 3 begins with ``3:``.
"""

from __future__ import annotations

import json
import random
from itertools import cycle
from typing import Any, Literal, NamedTuple

import attrs
import httpx
import trio

from tests.servers.mock_server import MockServer

#: What a 429 or 503 that asks for a pause asks for, in seconds.
PAUSE = 7
PROMPT_TOKENS = 11
#: Seconds that a slow answer takes more; the same as a hedge waits, so that both arrive together.
SLOWER = 3
_WORDS = (" a", " b", " c")
_REFUSALS: dict[str, tuple[int, str]] = {
    "401": (401, "no"),
    "400": (400, "no"),
    "429": (429, "slow down"),
    "429 with a pause": (429, "slow down"),
    "500": (500, "oops"),
    "503": (503, "busy"),
    "503 with a pause": (503, "busy"),
    "context": (400, "this is longer than the maximum context length"),
}
_LOST: dict[str, type[httpx.TransportError]] = {
    "refused": httpx.ConnectError,
    "reset": httpx.ReadError,
}
_BROKEN = {
    "garbage": '{"choices": [{"te',
    "wrong shape": '{"choices": 3}',
    "no choices": '{"choices": []}',
    "no log-probabilities": '{"choices": [{"text": "a", "finish_reason": "length"}]}',
}
#: Whole answers, but less of one than was asked for.
_SHAPES = ("fewer", "stop", "short")
#: What may befall a request.
FAULTS = ("late", "slow", *_SHAPES, "n refused", "hang", *_REFUSALS, *_LOST, *_BROKEN)


@attrs.frozen
class Mode:
    """How the server is now: seconds to an answer, and what befalls request after request, in turn."""

    latency: int = 1
    faults: tuple[str, ...] = ("",)


class Block(NamedTuple):
    """One choice that was sent."""

    prefix: str
    tokens: tuple[str, ...]
    logprobs: tuple[float, ...]
    reason: str

    @property
    def text(self) -> str:
        return self.prefix + "".join(self.tokens)


@attrs.define(eq=False)
class Entry:
    """One request in the log; `fate` is how it ended (in a whole answer: "good")."""

    search: int
    prefix: str
    body: dict[str, Any]
    began: float
    in_flight: int
    fault: str
    shape: str = ""
    ended: float | None = None
    fate: Literal["under way", "cancelled", "refused", "lost", "broken", "good"] = "under way"
    blocks: tuple[Block, ...] = ()

    @property
    def n(self) -> int:
        return int(self.body.get("n", 1))

    def took(self, now: float) -> float:
        """Seconds, so far."""
        return (now if self.ended is None else self.ended) - self.began

    @property
    def max_tokens(self) -> int:
        """The most that the server may have generated for it."""
        if self.fate == "good":
            return sum(len(block.tokens) for block in self.blocks)
        return 0 if self.fate == "refused" else self.n * int(self.body["max_tokens"])

    @property
    def identity(self) -> str:
        """The same for a request, its retries and its hedges."""
        return json.dumps(self.body, sort_keys=True)


class StatefulServer(MockServer):
    def __init__(self) -> None:
        super().__init__()
        self.log: list[Entry] = []
        self._shapes: dict[str, str] = {}
        self.change(Mode())

    def change(self, mode: Mode) -> None:
        """For the requests from now on."""
        self.latency = mode.latency
        self._faults = cycle(mode.faults)

    async def handle(self, request: httpx.Request) -> httpx.Response:
        entry = self._enter(json.loads(request.content))
        try:
            return await self._answer(entry, int(self.latency))
        except trio.Cancelled:
            entry.fate = "cancelled"
            raise
        finally:
            entry.ended = trio.current_time()
            self.in_flight -= 1

    def _enter(self, body: dict[str, Any]) -> Entry:
        self.in_flight += 1
        search, _, prefix = body["prompt"].partition(":")
        fault = next(self._faults)
        entry = Entry(int(search), prefix, body, trio.current_time(), self.in_flight, fault)
        # The same request has the same answer, whenever it is answered.
        shape = fault if fault in _SHAPES else ""
        entry.shape = self._shapes.setdefault(entry.identity, shape)
        self.log.append(entry)
        return entry

    async def _answer(self, entry: Entry, latency: int) -> httpx.Response:
        fault = entry.fault
        if fault == "hang":
            await trio.sleep_forever()
        await trio.sleep({"late": 15 * latency, "slow": SLOWER + latency}.get(fault, latency))
        if fault in _LOST:
            entry.fate = "refused" if fault == "refused" else "lost"
            raise _LOST[fault](fault)
        if fault in _BROKEN:
            entry.fate = "broken"
            return httpx.Response(200, text=_BROKEN[fault])
        if fault in _REFUSALS:
            # Of a beam that has begun, a bare 400 may mean that the context is full: it is asked about.
            known = "401" if fault == "400" and entry.prefix else fault
            return _refuse(entry, *_REFUSALS[known])
        if fault == "n refused" and entry.n > 1:
            return _refuse(entry, 400, "n must be 1")
        return _complete(entry)


def _refuse(entry: Entry, status: int, words: str) -> httpx.Response:
    entry.fate = "refused"
    headers = {"retry-after": str(PAUSE)} if "pause" in entry.fault else {}
    return httpx.Response(status, json={"error": {"message": words}}, headers=headers)


def _complete(entry: Entry) -> httpx.Response:
    entry.fate = "good"
    n = -(-entry.n // 2) if entry.shape == "fewer" else entry.n
    entry.blocks = tuple(_block(entry, entry.body["seed"] + index) for index in range(n))
    generated = sum(len(block.tokens) for block in entry.blocks)
    usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": generated}
    choices = [_choice(index, block) for index, block in enumerate(entry.blocks)]
    return httpx.Response(200, json={"choices": choices, "usage": usage})


def _block(entry: Entry, seed: int) -> Block:
    source = random.Random(f"{entry.body['prompt']}|{seed}")
    most = int(entry.body["max_tokens"])
    # An end at exactly the length that was asked for would not be believed.
    stops = entry.shape == "stop" and most > 1
    short = entry.shape == "short"
    count = source.randrange(1, most) if stops else source.randrange(most) if short else most
    tokens = tuple(source.choices(_WORDS, k=count))
    logprobs = tuple(
        logprob_of(entry.prefix + "".join(tokens[: place + 1])) for place in range(count)
    )
    return Block(entry.prefix, tokens, logprobs, "stop" if stops else "length")


def logprob_of(text: str) -> float:
    """The log-probability of the last token of a text, in nats."""
    return -0.01 - random.Random(text).random()


def _choice(index: int, block: Block) -> dict[str, Any]:
    logprobs = {"tokens": block.tokens, "token_logprobs": block.logprobs, "top_logprobs": None}
    return {
        "index": index,
        "text": "".join(block.tokens),
        "finish_reason": block.reason,
        "logprobs": logprobs,
    }
