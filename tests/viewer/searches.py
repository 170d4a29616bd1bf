"""Traces of searches of all kinds, in virtual time."""

from __future__ import annotations

import json
import random
from pathlib import Path

import httpx
import trio
from trio.testing import MockClock

import trio_beam
from tests.traces.searches import run_recorded
from trio_beam import (
    BeamSearchConfig,
    Endpoint,
    Judge,
    Lookahead,
    McmcConfig,
    Resample,
    RetryPolicy,
    SearchFailed,
    Strategy,
    Vote,
)
from trio_beam.observers import Trace
from trio_beam.strategies import greedy
from trio_beam.testing import FakeEndpoint

#: Names of strategies, and the words by which the page calls them.
STRATEGIES: dict[str, tuple[Strategy, str]] = {
    "beams": (BeamSearchConfig(tokens_per_step=2, max_tokens=8, seed=1), "beam search"),
    "greedy": (greedy(max_tokens=8), "beam search"),
    "particles": (
        BeamSearchConfig(
            beam_width=6,
            n_per_beam=1,
            tokens_per_step=1,
            max_tokens=12,
            selection=Resample(lookahead=Lookahead(tokens=2, rollouts=1)),
            seed=1,
        ),
        "resample",
    ),
    "moves": (
        BeamSearchConfig(
            beam_width=4,
            n_per_beam=1,
            tokens_per_step=3,
            max_tokens=9,
            selection=Resample(moves=2),
            seed=1,
        ),
        "resample",
    ),
    "subtrees": (
        BeamSearchConfig(tokens_per_step=2, max_tokens=8, selection="subtrees", seed=1),
        "subtrees",
    ),
    "chains": (
        McmcConfig(tokens_per_step=4, max_tokens=12, chains=3, steps=4, seed=1),
        "chains",
    ),
    "votes": (
        BeamSearchConfig(
            beam_width=12,
            n_per_beam=1,
            tokens_per_step=1,
            max_tokens=1,
            answer=Vote(),
            seed=1,
        ),
        "vote",
    ),
    "judge": (
        BeamSearchConfig(
            beam_width=3,
            n_per_beam=3,
            tokens_per_step=2,
            max_tokens=6,
            scorer=Judge(yes="the", no="a", top_logprobs=8, max_tokens=1),
            seed=1,
        ),
        "judge",
    ),
}


def record(path: Path, name: str) -> None:
    """Append a search by one of the `STRATEGIES`."""
    run_recorded(
        path, FakeEndpoint(latency=0.5), STRATEGIES[name][0], prompt=f"Tell me about {name}"
    )


_WORDS = [
    *("amber", "birch", "cedar", "dusk", "ember", "fjord"),
    *("grove", "heath", "inlet", "jetty", "knoll", "larch"),
]


class _Server:
    """An OpenAI-compatible server in virtual time, with bad luck at some of its requests.

    Args:
        trouble: whether some requests are refused, lost or slow.
    """

    def __init__(self, *, trouble: bool) -> None:
        self._trouble = trouble
        self._asked = 0
        self._random = random.Random(7)
        self.client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self._asked += 1
        asked, body = self._asked, json.loads(request.content)
        await trio.sleep(
            60.0 if self._trouble and asked % 11 == 5 else self._random.uniform(0.3, 1.2)
        )
        if self._trouble and asked == 3:
            told = {"error": {"message": "slow down"}}
            return httpx.Response(429, json=told, headers={"retry-after": "2"})
        if self._trouble and asked % 7 == 6:
            return httpx.Response(503, json={"error": {"message": "busy"}})
        choices = [self._choice(index, body["max_tokens"]) for index in range(body.get("n", 1))]
        usage = {"prompt_tokens": 5, "completion_tokens": len(choices) * body["max_tokens"]}
        return httpx.Response(200, json={"choices": choices, "usage": usage})

    def _choice(self, index: int, length: int) -> dict[str, object]:
        tokens = [f" {self._random.choice(_WORDS)}" for _ in range(length)]
        logprobs = [-self._random.uniform(0.1, 2.5) for _ in tokens]
        return {
            "text": "".join(tokens),
            "index": index,
            "finish_reason": "length",
            "logprobs": {"tokens": tokens, "token_logprobs": logprobs, "top_logprobs": None},
        }


def record_requests(
    path: Path,
    *,
    width: int,
    rounds: int,
    trouble: bool = False,
    samples: int = 4,
    strategy: Strategy | None = None,
) -> None:
    """Append a search over a server: by a strategy, or `rounds` of `width * samples` beams."""
    config = strategy or BeamSearchConfig(
        beam_width=width,
        n_per_beam=samples,
        seed=1,
        early_stopping=False,
        tokens_per_step=5,
        max_tokens=5 * rounds,
    )

    async def run() -> None:
        server = _Server(trouble=trouble)
        async with (
            server.client,
            Endpoint(
                "http://server/v1",
                model="m",
                dialect="openai",
                http_client=server.client,
                max_concurrent=max(2, width // 2),
                hedge_after=3.0 if trouble else None,
                retry=RetryPolicy(attempts=4),
            ) as endpoint,
        ):
            with Trace(path) as trace:
                try:
                    await trio_beam.search(endpoint, "A walk", config, observers=[trace])
                except SearchFailed as error:
                    raise AssertionError(error) from error

    trio.run(run, clock=MockClock(autojump_threshold=0))
