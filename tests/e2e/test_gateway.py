"""The gateway over the real model, as a command, and behind nginx as its page shows it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.e2e.bare import bare_client, remaining
from tests.e2e.peers import needs_nginx, nginx
from tests.e2e.test_local_server import children
from tests.gateway.serving import ask, connected, gateway_over, post, serving
from tests.gateway.test_openai_client import as_users_do, client, stream
from trio_beam import Endpoint, RetryPolicy, SampleRequest
from trio_beam.endpoint.replicas import Replicas
from trio_beam.gateway.app import Gateway
from trio_beam.gateway.limits import Limits
from trio_beam.testing import FakeEndpoint

ROOT = Path(__file__).parents[2]
MODEL = "SmolLM2-135M-Instruct"
HI: Any = [{"role": "user", "content": "What is a black hole, in one sentence?"}]


@asynccontextmanager
async def over(*base_urls: str, **options: Any) -> AsyncIterator[tuple[str, Gateway]]:
    """A gateway over real servers; yields its base URL."""
    limits = options.pop("limits", Limits())
    endpoints = [Endpoint(url, stream="auto", **options) for url in base_urls]
    async with AsyncExitStack() as opened:
        for endpoint in endpoints:
            await opened.enter_async_context(endpoint)
        gateway = Gateway(replicas=Replicas(endpoints), limits=limits)
        async with serving(gateway) as url:
            yield url, gateway
        assert [one.statistics().in_flight for one in endpoints] == [0] * len(endpoints)


async def test_openais_client_over_the_real_model(base_url: str) -> None:
    given: Any = {
        "model": f"{MODEL}@beam-4x2",
        "seed": 1,
        "temperature": 0.6,
        "max_tokens": 24,
        "n": 2,
        "extra_body": {"search": {"tokens_per_step": 8}},
    }
    async with over(base_url) as (url, _), client(url) as asking:
        whole = await asking.chat.completions.create(messages=HI, logprobs=True, **given)
        found = await as_users_do(partial(stream, url, messages=HI, **given | {"n": 1}))
        assert (await asking.models.list()).data[0].id == MODEL
    text = whole.choices[0].message.content
    assert text
    assert found.content == text
    assert found.facts["settled_early"] > 0
    assert whole.model_extra is not None
    assert whole.model_extra["trio_beam"]["exact"]
    assert len(whole.choices) == 2
    logprobs = whole.choices[0].logprobs
    assert logprobs is not None
    assert "".join(one.token for one in logprobs.content or ()) == text


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_client_that_hangs_up_frees_the_model(
    own_embedded_url: str, streamed: bool
) -> None:
    body = {
        "model": f"{MODEL}@beam-2x2",
        "messages": HI,
        "stream": streamed,
        "max_tokens": 900,
        "search": {
            "tokens_per_step": 900,
            "early_stopping": False,
            "extra_body": {"ignore_eos": True},
        },
    }

    async with (
        over(own_embedded_url) as (url, _),
        bare_client(own_embedded_url, timeout=60) as model,
    ):
        async with connected(url) as connection:
            await connection.send_all(post("/v1/chat/completions", body))
            while len(await remaining(model)) < 2:  # noqa: ASYNC110  # of another process
                await trio.sleep(0.05)
        last = {0: 900}
        while left := await remaining(model):
            last = left
            await trio.sleep(0.05)
    assert min(last.values()) > 450  # given up, and not run to the end


@asynccontextmanager
async def command(
    *words: str, environment: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[str, trio.Process]]:
    """``trio-beam serve`` as a process; yields its base URL."""
    inherited = {name: text for name, text in os.environ.items() if "OPENAI" not in name}
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "trio_beam", "serve", "--port", "0", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=inherited | dict(environment or {}),
    )
    assert process.stdout is not None
    try:
        line = b""
        while not line.endswith(b"\n"):
            line += await process.stdout.receive_some()
        yield line.decode().strip(), process
    finally:
        process.kill()
        await process.stdout.aclose()
        with trio.move_on_after(5, shield=True):
            await process.wait()


def three_lines() -> str:
    """The client code of the README."""
    readme = (ROOT / "README.md").read_text("utf-8")
    (found,) = re.findall(r"```python\n(import openai\n.*?)```", readme, re.DOTALL)
    return str(found)


async def test_the_three_lines_of_the_readme_and_the_end_of_the_command() -> None:
    before = children()
    with trio.fail_after(120):
        async with command() as (url, process):
            program = three_lines().replace("http://127.0.0.1:8100/v1", url)
            done = await trio.run_process(
                [sys.executable, "-c", program], capture_stdout=True, cwd=ROOT
            )
            assert done.stdout.strip()
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 128 + signal.SIGTERM
    assert children() == before


async def test_a_replica_that_is_killed_loses_no_search() -> None:
    body = {
        "model": "m@beam-2x2",
        "prompt": "a",
        "max_tokens": 16,
        "search": {"tokens_per_step": 4},
    }
    statuses: list[int] = []
    with trio.fail_after(90):
        async with killable(0.1) as (first, _), killable(0.1) as (second, process):
            options: Any = {
                "model": "m",
                "dialect": "openai",
                "limits": Limits(max_searches=50),
                "retry": RetryPolicy(attempts=1),
            }
            async with over(f"{first}/v1", f"{second}/v1", **options) as (url, gateway):

                async def one() -> None:
                    found = await ask(url, "POST", "/v1/completions", body)
                    statuses.append(found.status_code)

                async with trio.open_nursery() as nursery:
                    for _ in range(50):
                        nursery.start_soon(one)
                    dying = gateway.replicas.all[1].endpoint
                    while dying.statistics().attempts < 80:  # noqa: ASYNC110  # of some 170
                        await trio.sleep(0.01)
                    assert dying.statistics().in_flight
                    process.kill()
            assert gateway.replicas.all[1].is_lost
    assert statuses == [200] * 50


@asynccontextmanager
async def killable(latency: float) -> AsyncIterator[tuple[str, trio.Process]]:
    """A server for benchmarks, and its process."""
    process = await trio.lowlevel.open_process(
        [sys.executable, ROOT / "scripts/bench_server.py", "--latency", str(latency)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    async with process.stdin, process.stdout:
        yield f"http://127.0.0.1:{int(await process.stdout.receive_some())}", process
        process.kill()
        await process.wait()


def nginx_location(port: int) -> str:
    """The block of the page, for a gateway at a port."""
    page = (ROOT / "docs/how-to/gateway.md").read_text("utf-8")
    (block,) = re.findall(r"```nginx\nlocation / {\n(.*?)}\n```", page, re.DOTALL)
    return str(block).replace("proxy_pass http://127.0.0.1:8100;", "")


@needs_nginx
async def test_the_nginx_configuration_of_the_page(tmp_path: Path) -> None:
    """A stream arrives as it settles, and a client that hangs up cancels its search, through nginx."""
    held = trio.Event()

    async def before(request: SampleRequest) -> None:
        if request.beam.length >= 4:
            held.set()
            await trio.sleep_forever()

    model = FakeEndpoint(before=before)
    body = {
        "model": "m@beam-1x1",
        "messages": HI,
        "stream": True,
        "seed": 2,
        "search": {"tokens_per_step": 2},
    }
    async with serving(gateway_over(model, keys=("a-key-of-mine",))) as url:
        port = int(url.split(":")[2].split("/")[0])
        async with nginx(tmp_path, port, location=nginx_location(port)) as (proxy, _):
            async with connected(proxy) as connection:
                data = post("/v1/chat/completions", body, "authorization: Bearer a-key-of-mine")
                await connection.send_all(data)
                received = b""
                while b'"content":" ' not in received:
                    received += await connection.receive_some()
                await held.wait()
            while model.in_flight:  # noqa: ASYNC110  # nginx has to notice
                await trio.sleep(0.02)
    assert b"x-request-id" in received.lower()
    assert model.cancelled == 1
