"""From Trio, from asyncio, and from no event loop; and nothing is left of a search that was cancelled."""

from __future__ import annotations

import asyncio
import contextvars
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import trio

import trio_beam.asyncio
from tests.servers.hosted_chat import HostedChat
from tests.servers.silent import Silent
from tests.servers.socket_server import threaded_server
from trio_beam import Beam, BeamSearchSampling, ConfigError, Endpoint, SearchFailed, TrioBeamError

SECONDS = 30


def sampler(**changes: Any) -> BeamSearchSampling:
    return BeamSearchSampling(**{"tokens_per_step": 4, "seed": 3} | changes)


def client_of(url: str, model: str | None = "grok-2-1212") -> Any:
    return SimpleNamespace(api_key="key", base_url=url, default_model=model)


@pytest.fixture
def url() -> Iterator[str]:
    before = threading.enumerate()
    with HostedChat().serve() as served:
        yield served
    left = [thread for thread in threading.enumerate() if thread not in before]
    assert not [thread for thread in left if thread.name.startswith("trio_beam")]


@pytest.fixture
def silent() -> Iterator[Silent]:
    server = Silent()
    with server.listener:
        yield server


# -- calls that block


async def test_inside_trio_it_says_what_to_use() -> None:
    for call in (
        lambda: sampler().generate(client_of("http://127.0.0.1:1/v1"), "p"),
        lambda: sampler()._sample_continuation_multiple(client_of("http://x/v1"), "p", "", 1, 1),
    ):
        with pytest.raises(TrioBeamError, match="beam_search"):
            call()


async def test_in_a_thread_of_trio_it_works(url: str) -> None:
    with trio.fail_after(SECONDS):
        there = await trio.to_thread.run_sync(sampler().generate, client_of(url), "p", 8)
    assert there[0]


async def test_in_a_thread_of_an_override_it_has_an_endpoint_of_its_own(url: str) -> None:
    """The thread inherits the context of the search, but not its run of Trio."""

    class Blocking(BeamSearchSampling):
        async def _expand_beams_parallel(self, client: Any, *args: Any) -> Any:
            await trio.to_thread.run_sync(
                self._sample_continuation_multiple, client, "other", "", 1, 1
            )
            return await super()._expand_beams_parallel(client, *args)

    with trio.fail_after(SECONDS):
        assert (await Blocking(tokens_per_step=4)._generate_async(client_of(url), "p", 8))[0]


def test_generate_inside_asyncio_says_that_it_blocks_and_works(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> tuple[str, int, int]:
        before = sampler().generate(client_of(url), "p", 8)
        async with trio_beam.asyncio.Endpoint(url):  # Trio is the guest of this thread
            assert sampler().generate(client_of(url), "p", 8) == before
        return before

    assert asyncio.run(main()) == sampler().generate(client_of(url), "p", 8)
    (said,) = caplog.messages
    assert "blocks the event loop" in said
    assert "trio_beam.asyncio" in said


def test_generate_inside_asyncio_raises_what_went_wrong() -> None:
    async def main() -> None:
        sampler().generate(client_of("not a url"), "p", 8)

    with pytest.raises(ConfigError, match="base_url"):
        asyncio.run(main())


@pytest.mark.promise(3)
@pytest.mark.parametrize("call", ["BeamSearchSampling().generate(client, 'p')", "await awaited()"])
def test_ctrl_c_inside_asyncio_cancels_the_search(silent: Silent, call: str) -> None:
    """asyncio's own handler would wait for the loop, which waits for a search that blocks it."""
    program = f"""
import asyncio, types
from trio_beam import BeamSearchSampling

client = types.SimpleNamespace(api_key="k", base_url={silent.url!r}, default_model="m")

async def awaited():
    await BeamSearchSampling()._generate_async(client, "p")

async def main():
    {call}

asyncio.run(main())
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            with silent.accept() as connection:  # it has asked, and gets no answer
                process.send_signal(signal.SIGINT)
                assert process.wait(SECONDS) != 0
                assert silent.sees_it_go(connection)
        finally:
            process.kill()
        assert process.stderr is not None
        assert "KeyboardInterrupt" in process.stderr.read()


# -- coroutines


def awaitables(strategy: BeamSearchSampling, url: str) -> dict[str, Any]:
    client = client_of(url)
    return {
        "run": lambda: strategy._run_with_client("key", url, "grok-2-1212", "p", 8),
        "generate": lambda: strategy._generate_async(client, "p", 8),
        "expand": lambda: strategy._expand_beams_parallel(client, [Beam()], "p", 0),
        "sample": lambda: strategy._sample_continuation_multiple_async(client, "p", "", 4, 2),
        "an endpoint": lambda: strategy._generate_async(Endpoint(url), "p", 8),
    }


@pytest.mark.parametrize("name", awaitables(sampler(), ""))
async def test_coroutines_give_the_same_under_trio_and_asyncio(url: str, name: str) -> None:
    make = awaitables(sampler(), url)[name]

    async def main() -> Any:
        return await make()

    with trio.fail_after(SECONDS):
        there = await trio.to_thread.run_sync(asyncio.run, main())
        assert there == await make()
    assert there[0]


def test_many_at_the_same_time_under_asyncio(url: str) -> None:
    async def main() -> list[tuple[str, int, int]]:
        calls = [sampler()._generate_async(client_of(url), f"p {k}", 8) for k in range(5)]
        return list(await asyncio.gather(*calls))

    found = asyncio.run(main())
    assert [text for text, _, _ in found] == [
        sampler().generate(client_of(url), f"p {k}", 8)[0] for k in range(5)
    ]


@pytest.mark.promise(3)
def test_cancelling_the_task_cancels_the_search(silent: Silent) -> None:
    async def main() -> None:
        search = asyncio.create_task(sampler()._generate_async(client_of(silent.url), "p", 8))
        connection = await asyncio.to_thread(silent.accept)
        search.cancel()
        with pytest.raises(asyncio.CancelledError):
            await search
        with connection:
            assert await asyncio.to_thread(silent.sees_it_go, connection)

    asyncio.run(asyncio.wait_for(main(), SECONDS))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("trio_beam")]


def test_a_task_that_is_cancelled_twice_still_waits_for_the_end(silent: Silent) -> None:
    ended: list[str] = []

    class Slow(BeamSearchSampling):
        async def _expand_beams_parallel(self, *args: Any) -> Any:
            try:
                return await super()._expand_beams_parallel(*args)
            finally:
                with trio.move_on_after(SECONDS, shield=True):
                    await trio.to_thread.run_sync(may_end.wait, SECONDS)
                ended.append("search")

    may_end = threading.Event()

    async def main() -> None:
        search = asyncio.create_task(
            Slow(dialect="openai")._generate_async(client_of(silent.url), "p", 8)
        )
        with await asyncio.to_thread(silent.accept):
            for _ in range(2):
                search.cancel()
                await asyncio.sleep(0)
            assert not search.done()
            may_end.set()
            with pytest.raises(asyncio.CancelledError):
                await search
        ended.append("task")

    asyncio.run(asyncio.wait_for(main(), SECONDS))
    assert ended == ["search", "task"]


def test_errors_arrive_under_asyncio() -> None:
    async def main(url: str) -> None:
        await sampler(raw=True)._generate_async(client_of(url), "p", 8)

    with HostedChat().serve() as url, pytest.raises(SearchFailed, match="404"):
        asyncio.run(main(url))


def test_a_coroutine_that_is_closed_leaves_no_search(silent: Silent) -> None:
    async def main() -> None:
        search = sampler()._generate_async(client_of(silent.url), "p", 8)
        search.send(None)  # up to its first wait
        with await asyncio.to_thread(silent.accept) as connection:
            search.close()
            assert await asyncio.to_thread(silent.sees_it_go, connection)

    asyncio.run(asyncio.wait_for(main(), SECONDS))


def test_overrides_run_in_trio_and_see_the_context_of_the_caller() -> None:
    word = contextvars.ContextVar("word", default="unset")
    seen: list[tuple[bool, str]] = []

    class Noting(BeamSearchSampling):
        async def _expand_beams_parallel(self, *args: Any) -> Any:
            await trio.lowlevel.checkpoint()
            seen.append((trio.lowlevel.in_trio_task(), word.get()))
            return await super()._expand_beams_parallel(*args)

    async def main(url: str) -> None:
        word.set("asyncio")
        await Noting(raw=True, tokens_per_step=4)._generate_async(client_of(url), "p", 4)
        Noting(raw=True, tokens_per_step=4).generate(client_of(url), "p", 4)

    with threaded_server() as (url, _):
        asyncio.run(main(url))
        word.set("none")
        Noting(raw=True, tokens_per_step=4).generate(client_of(url), "p", 4)
    assert seen == [(True, "asyncio"), (True, "asyncio"), (True, "none")]
