"""What the gateway searches is traced, each search with the id of its response."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trio

import trio_beam
from tests.gateway.serving import ask, gateway_over, serving
from trio_beam.observers import Trace
from trio_beam.testing import FakeEndpoint
from trio_beam.traces import read_trace


async def test_concurrent_searches_are_in_one_trace(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    answers: dict[str, str] = {}

    async def one(base_url: str, seed: int) -> None:
        body = {"model": "m@beam-2x2", "prompt": "secret", "max_tokens": 6, "seed": seed}
        given: dict[str, Any] = (await ask(base_url, "POST", "/v1/completions", body)).json()
        answers[given["id"]] = given["choices"][0]["text"]

    with Trace(path, prompts=False) as trace:
        gateway = gateway_over(
            FakeEndpoint(latency=0.01), observers_of=lambda name: [trace.search(name)]
        )
        async with serving(gateway) as base_url, trio.open_nursery() as nursery:
            for seed in range(4):
                nursery.start_soon(one, base_url, seed)
    found = read_trace(path)
    assert {one.began.label: trio_beam.replay(one).text for one in found.searches} == answers
    assert "secret" not in path.read_text()
