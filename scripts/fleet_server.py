"""A simulated completion server in virtual time, behind httpx. See `scripts/simulate_fleet.py`."""

from __future__ import annotations

import heapq
import itertools
import json
import math
import random
from collections import OrderedDict
from typing import Any

import attrs
import httpx
import trio


@attrs.frozen(kw_only=True)
class Times:
    """Service times of a server, in seconds.

    Attributes:
        base: of a decoding step, whatever its size.
        each: of a decoding step, for each sequence in it.
        prefill: for each prompt token that is not in the cache.
    """

    base: float
    each: float
    prefill: float


#: Of SmolLM2-135M on llama.cpp, one thread (`scripts/measure_service_times.py`).
MEASURED = Times(base=0.0040, each=0.0089, prefill=0.0074)


@attrs.frozen(kw_only=True)
class Fleet:
    """A fleet and its faults.

    Attributes:
        replicas: number of servers.
        slots: requests that a server works on at once.
        queue: requests that may wait at a server; more are refused with 503.
        cache: prompt tokens that a server keeps.
        stalls: share of the requests that take `stall` times as long as an undisturbed one.
        stall: see `stalls`.
        crashes: mean number of crashes of each server in an hour.
        outage: seconds for which a crashed server is away.
        prompt: length of each prompt, in tokens.
        times: service times.
    """

    replicas: int = 8
    slots: int = 16
    queue: int = 32
    cache: int = 200_000
    stalls: float = 0.01
    stall: float = 15.0
    crashes: float = 4.0
    outage: float = 60.0
    prompt: int = 400
    times: Times = MEASURED


@attrs.define(eq=False, order=False)
class Job:
    """A request that a server works on.

    Attributes:
        sequences: number of its continuations.
        begun: the server's progress when it began, in steps.
        until: the progress at which it ends.
        ended: set at its end.
        lost: whether the server crashed first.
        gone: whether its client has hung up.
    """

    sequences: int
    begun: float
    until: float
    ended: trio.Event = attrs.field(factory=trio.Event)
    lost: bool = False
    gone: bool = False


class Server(httpx.AsyncBaseTransport):
    """A simulated server.

    All jobs advance by the same number of steps, so the next to end is the one with the smallest `until`, and
    a change of the batch changes only how long a step takes.

    Args:
        fleet: what it is like.
        chance: for its stalls and crashes.
    """

    def __init__(self, fleet: Fleet, chance: random.Random) -> None:
        self._fleet = fleet
        self._random = chance
        self._jobs: list[tuple[float, int, Job]] = []
        self._numbers = itertools.count()
        self._sequences = 0
        self._progress = 0.0
        self._since = 0.0
        self._changed = trio.Event()
        self._slots = trio.CapacityLimiter(fleet.slots)
        self._cached: OrderedDict[str, int] = OrderedDict()
        self._is_up = True
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.tokens = 0
        self.wasted = 0.0
        self.refused = 0
        self.crashes = 0
        self.busy = 0.0

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._advance()
            while self._jobs and self._jobs[0][0] <= self._progress + 1e-9:
                self._end(heapq.heappop(self._jobs)[2])
            wait = math.inf
            if self._jobs:
                wait = (self._jobs[0][0] - self._progress) * self._step()
            self._changed = trio.Event()
            with trio.move_on_after(wait):
                await self._changed.wait()

    async def fail(self) -> None:
        """Crash at random moments until cancelled."""
        if not self._fleet.crashes:
            return
        while True:
            await trio.sleep(self._random.expovariate(self._fleet.crashes / 3600))
            self._advance()
            self._is_up = False
            self.crashes += 1
            self._cached.clear()
            for _, _, job in self._jobs:
                job.lost = True
                self._end(job)
            self._jobs.clear()
            self._changed.set()
            await trio.sleep(self._fleet.outage)
            self._is_up = True

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer as a completion server does, after the time that it would take."""
        if not self._is_up:
            raise httpx.ConnectError("refused", request=request)
        waiting = self._slots.statistics().tasks_waiting
        if waiting >= self._fleet.queue:
            self.refused += 1
            return httpx.Response(503, json={"error": {"message": "the queue is full"}})
        body = json.loads(request.content)
        async with self._slots:
            if not self._is_up:
                raise httpx.ReadError("lost", request=request)
            await self._generate(body, request)
        return httpx.Response(200, content=self._answer(body))

    async def _generate(self, body: dict[str, Any], request: httpx.Request) -> None:
        name, *rest = body["prompt"].split(" ")
        length = self._fleet.prompt + len(rest)
        cached = self._cached.get(name, 0)
        self._remember(name, length)
        self.prompt_tokens += length
        self.cached_tokens += cached
        # A token to be read is as much work as the share of a step that reading takes.
        reading = (length - cached) * self._fleet.times.prefill / self._step(body["n"])
        steps = reading + body["max_tokens"]
        self._advance()
        job = Job(body["n"], self._progress, self._progress + steps)
        heapq.heappush(self._jobs, (job.until, next(self._numbers), job))
        self._sequences += job.sequences
        self._changed.set()
        try:
            await job.ended.wait()
            if self._random.random() < self._fleet.stalls:
                await trio.sleep(self._fleet.stall * steps * self._step(body["n"]))
        except trio.Cancelled:
            self._advance()
            done = min(self._progress, job.until) - job.begun
            self.wasted += max(0.0, done - reading) * job.sequences
            if not job.ended.is_set():
                self._jobs = [entry for entry in self._jobs if entry[2] is not job]
                heapq.heapify(self._jobs)
                self._sequences -= job.sequences
                self._changed.set()
            raise
        if job.lost:
            self.wasted += max(0.0, self._progress - job.begun - reading) * job.sequences
            raise httpx.ReadError("lost", request=request)
        self.tokens += body["max_tokens"] * job.sequences
        self._remember(name, length + body["max_tokens"])

    def _end(self, job: Job) -> None:
        self._sequences -= job.sequences
        job.ended.set()

    def _step(self, more: int = 0) -> float:
        """Seconds that a step of the present batch takes, and `more` sequences."""
        return self._fleet.times.base + self._fleet.times.each * (self._sequences + more)

    def _advance(self) -> None:
        now = trio.current_time()
        if self._sequences:
            self._progress += (now - self._since) / self._step()
            self.busy += now - self._since
        self._since = now

    def _remember(self, name: str, length: int) -> None:
        self._cached[name] = max(length, self._cached.pop(name, 0))
        while len(self._cached) * (self._fleet.prompt + 64) > self._fleet.cache:
            self._cached.popitem(last=False)

    def _answer(self, body: dict[str, Any]) -> bytes:
        count = body["max_tokens"]
        choices = []
        for index in range(body["n"]):
            words = [f" {self._random.getrandbits(20)}"] + [" on"] * (count - 1)
            logprobs = [-4 * self._random.random()] + [-0.5] * (count - 1)
            choices.append(
                {
                    "index": index,
                    "text": "".join(words),
                    "finish_reason": "length",
                    "logprobs": {"tokens": words, "token_logprobs": logprobs},
                }
            )
        usage = {"prompt_tokens": self._fleet.prompt, "completion_tokens": count * body["n"]}
        return json.dumps({"model": "m", "choices": choices, "usage": usage}).encode()
