"""Cancellation, timeouts, Ctrl-C and closing loops under asyncio: as clean as under Trio."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import attrs
import pytest
import trio

import trio_beam.asyncio
from tests.asyncio.loops import SECONDS, nothing_is_left, run
from tests.servers.silent import Silent
from trio_beam import Beam, BeamSearchConfig, TrioBeamError
from trio_beam.testing import FakeEndpoint

CONFIG = BeamSearchConfig(beam_width=1, n_per_beam=1, tokens_per_step=4, max_tokens=8, seed=3)
FOREVER = 3600.0


@pytest.fixture
def silent() -> Iterator[Silent]:
    server = Silent()
    with server.listener:
        yield server


def endpoint_of(silent: Silent) -> trio_beam.asyncio.Endpoint:
    return trio_beam.asyncio.Endpoint(silent.url, dialect="openai", model="mock")


async def one_search(endpoint: trio_beam.asyncio.Endpoint) -> None:
    await trio_beam.asyncio.search(endpoint, "p", CONFIG)


async def one_of_many(endpoint: trio_beam.asyncio.Endpoint) -> None:
    async with trio_beam.asyncio.search_many(endpoint, ["p"], CONFIG) as outcomes:
        await anext(outcomes)


@pytest.mark.promise(3)
@pytest.mark.parametrize("work", [one_search, one_of_many, trio_beam.asyncio.Endpoint.capabilities])
def test_a_cancelled_task_leaves_nothing(
    silent: Silent, work: Callable[[Any], Awaitable[Any]]
) -> None:
    async def main() -> None:
        async with endpoint_of(silent) as endpoint:
            before = asyncio.all_tasks()
            task = asyncio.ensure_future(work(endpoint))
            with await asyncio.to_thread(silent.accept) as connection:
                assert task.cancel("enough")
                with pytest.raises(asyncio.CancelledError):
                    await task
                statistics = endpoint.statistics()
                assert (statistics.in_flight, statistics.waiting) == (0, 0)
                assert statistics.open_connections == 0
                assert asyncio.all_tasks() == before
                assert await asyncio.to_thread(silent.sees_it_go, connection)

    run(main)


@pytest.mark.promise(3)
def test_a_timeout_is_one_of_asyncio(silent: Silent) -> None:
    async def main() -> None:
        accepted = asyncio.create_task(asyncio.to_thread(silent.accept))
        with pytest.raises(TimeoutError):
            await until_accepted(accepted)
        nothing_is_left()
        with await accepted as connection:
            assert await asyncio.to_thread(silent.sees_it_go, connection)
        current = asyncio.current_task()
        assert current is not None
        assert not current.cancelling()

    async def until_accepted(accepted: asyncio.Task[Any]) -> None:
        loop = asyncio.get_running_loop()
        async with endpoint_of(silent) as endpoint, asyncio.timeout(None) as time:
            accepted.add_done_callback(lambda _: time.reschedule(loop.time()))
            await one_search(endpoint)

    run(main)


def test_the_anytime_search_ends_at_its_time() -> None:
    async def main() -> None:
        result = await trio_beam.asyncio.search_within(
            0.01, FakeEndpoint(latency=FOREVER), "p", CONFIG
        )
        assert result.stop_reason == "deadline"

    run(main)


def test_a_task_that_is_cancelled_before_it_begins_starts_nothing() -> None:
    model = FakeEndpoint()

    async def main() -> None:
        task = asyncio.create_task(trio_beam.asyncio.search(model, "p", CONFIG))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main)
    assert not model.requests


@pytest.mark.parametrize("turns", range(12))
def test_cancelling_at_any_moment_leaves_nothing(turns: int) -> None:
    model = FakeEndpoint()

    async def open_and_search() -> None:
        async with trio_beam.asyncio.Endpoint("http://127.0.0.1:9/v1"):
            await trio_beam.asyncio.search(model, "p", CONFIG)

    async def main() -> None:
        task = asyncio.create_task(open_and_search())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):  # unless it was faster
            await task
        nothing_is_left()

    run(main)
    assert model.in_flight == 0


def test_one_of_several_is_cancelled_and_the_others_go_on() -> None:
    async def main() -> None:
        hanging = asyncio.create_task(
            trio_beam.asyncio.search(FakeEndpoint(latency=FOREVER), "p", CONFIG)
        )
        async with asyncio.TaskGroup() as group:
            others = [
                group.create_task(trio_beam.asyncio.search(FakeEndpoint(), "p", CONFIG))
                for _ in range(3)
            ]
            hanging.cancel()
        assert all(task.result().text for task in others)
        with pytest.raises(asyncio.CancelledError):
            await hanging

    run(main)


def test_an_error_in_the_block_passes_as_it_is(silent: Silent) -> None:
    async def main() -> None:
        error = LookupError("mine")
        with pytest.raises(LookupError) as caught:
            async with endpoint_of(silent):
                raise error
        assert caught.value is error
        nothing_is_left()

    run(main)


def test_a_bug_during_a_cancellation_is_not_lost() -> None:
    class Buggy(FakeEndpoint):
        async def sample(self, *args: Any) -> Any:
            try:
                await trio.sleep_forever()
            finally:
                raise LookupError("a bug")

    model = Buggy()
    began = asyncio.Event()

    async def main() -> None:
        task = asyncio.create_task(
            trio_beam.asyncio.search(model, "p", CONFIG, observers=[lambda _: began.set()])
        )
        await began.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.RaisesGroup(
            pytest.RaisesExc(LookupError, match="a bug"), flatten_subgroups=True
        ):
            await task

    run(main)


def test_a_scorer_of_asyncio_is_cancelled_with_the_search() -> None:
    ended: list[str] = []
    began = asyncio.Event()

    async def scorer(beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
        began.set()
        try:
            await asyncio.sleep(FOREVER)
        finally:
            await asyncio.sleep(0)  # noqa: ASYNC102  # asyncio has no shields
            ended.append("scorer")
        return []

    async def main() -> None:
        config = attrs.evolve(CONFIG, scorer=scorer)
        task = asyncio.create_task(trio_beam.asyncio.search(FakeEndpoint(), "p", config))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        ended.append("search")

    run(main)
    assert ended == ["scorer", "search"]


def test_a_coroutine_that_is_closed_leaves_nothing(silent: Silent) -> None:
    async def use() -> None:
        async with endpoint_of(silent) as endpoint:
            await one_search(endpoint)

    async def main() -> None:
        coroutine = use()
        future = coroutine.send(None)  # up to the wait for the guest
        await asyncio.wait([future])
        coroutine.send(None)
        with await asyncio.to_thread(silent.accept) as connection:
            coroutine.close()
            assert await asyncio.to_thread(silent.sees_it_go, connection)
        # Nobody could wait for the guest's end; the next to come does.
        await trio_beam.asyncio.search(FakeEndpoint(), "p", CONFIG)

    run(main)


# -- loops


def test_a_loop_that_closes_ends_what_was_left_open(silent: Silent) -> None:
    async def main() -> trio_beam.asyncio.Endpoint:
        endpoint = endpoint_of(silent)
        await endpoint.__aenter__()
        tasks.append(asyncio.create_task(one_search(endpoint)))
        connections.append(await asyncio.to_thread(silent.accept))
        return endpoint

    tasks: list[asyncio.Task[None]] = []
    connections: list[Any] = []
    endpoint = asyncio.run(main())
    assert not trio.lowlevel.in_trio_run()
    assert endpoint.statistics().open_connections == 0
    with connections[0] as connection:
        assert silent.sees_it_go(connection)


def test_another_loop_while_the_first_is_stopped_says_what_is_wrong(silent: Silent) -> None:
    first = asyncio.new_event_loop()
    endpoint = endpoint_of(silent)
    first.run_until_complete(endpoint.__aenter__())
    try:
        with pytest.raises(TrioBeamError, match="another event loop"):
            asyncio.run(one_search(endpoint))
    finally:
        first.run_until_complete(endpoint.__aexit__(None, None, None))
        first.close()
    assert not trio.lowlevel.in_trio_run()


async def test_a_guest_of_somebody_else_says_what_is_wrong() -> None:
    async def main() -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        scope = trio.CancelScope()

        async def guest() -> None:
            with scope:
                await trio.sleep_forever()

        trio.lowlevel.start_guest_run(
            guest,
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            done_callback=lambda _: ended.set(),
            host_uses_signal_set_wakeup_fd=True,
        )
        try:
            with pytest.raises(TrioBeamError, match="already runs in this thread"):
                await trio_beam.asyncio.search(FakeEndpoint(), "p", CONFIG)
        finally:
            scope.cancel()
            await ended.wait()  # noqa: ASYNC102  # in asyncio

    await trio.to_thread.run_sync(lambda: run(main))


def test_without_a_loop_it_says_what_is_wrong() -> None:
    coroutine: Any = trio_beam.asyncio.search(FakeEndpoint(), "p", CONFIG)
    with pytest.raises(TrioBeamError, match=r"asyncio\.run"):
        coroutine.send(None)


async def test_under_trio_the_same_names_work() -> None:
    result = await trio_beam.asyncio.search(FakeEndpoint(), "p", CONFIG)
    assert result.text == (await trio_beam.search(FakeEndpoint(), "p", CONFIG)).text
    with pytest.raises(TrioBeamError, match=r"trio_beam\.search_many"):
        async with trio_beam.asyncio.search_many(FakeEndpoint(), ["p"], CONFIG):
            pass


@pytest.mark.parametrize(
    "name",
    ["search", "search_within", "beam_search", "beam_search_within", "mcmc", "mcmc_within"],
)
def test_under_asyncio_the_functions_of_trio_say_what_to_use(name: str) -> None:
    async def main() -> None:
        arguments = (1, "p") if name.endswith("within") else ("p",)
        await getattr(trio_beam, name)(FakeEndpoint(), *arguments)

    with pytest.raises(TrioBeamError, match=rf"use trio_beam\.asyncio\.{name}\b"):
        run(main)


def test_an_endpoint_of_trio_says_what_to_use(silent: Silent) -> None:
    async def main() -> None:
        async with trio_beam.Endpoint(silent.url):
            pass

    with pytest.raises(TrioBeamError, match=r"use trio_beam\.asyncio\.Endpoint"):
        run(main)
    coroutine: Any = main()
    with pytest.raises(TrioBeamError, match=r"trio\.run"):
        coroutine.send(None)


def test_search_many_of_trio_says_what_to_use() -> None:
    async def main() -> None:
        async with trio_beam.search_many(FakeEndpoint(), ["p"]):
            pass

    with pytest.raises(TrioBeamError, match=r"use trio_beam\.asyncio\.search_many"):
        run(main)


@pytest.mark.promise(3)
@pytest.mark.parametrize("runner", ["asyncio.run(main())", "loop.run_until_complete(main())"])
def test_ctrl_c_ends_everything(silent: Silent, runner: str) -> None:
    """`asyncio.run` handles it; a bare loop leaves it to Trio, as long as that is its guest."""
    program = f"""
import asyncio, trio, trio_beam.asyncio

async def main():
    async with trio_beam.asyncio.Endpoint({silent.url!r}, dialect="openai", model="m") as endpoint:
        await trio_beam.asyncio.search(endpoint, "p")

loop = asyncio.new_event_loop()
try:
    {runner}
except KeyboardInterrupt:
    assert not trio.lowlevel.in_trio_run()
    print("interrupted")
loop.close()
"""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            with silent.accept() as connection:
                process.send_signal(signal.SIGINT)
                assert process.wait(SECONDS) == 0
                assert silent.sees_it_go(connection)
        finally:
            process.kill()
        assert process.stdout is not None
        assert process.stdout.read() == "interrupted\n"


def test_async_generators_of_asyncio_are_finalised_by_asyncio() -> None:
    """Trio's hooks for them are in place while it is a guest."""
    ended: list[bool] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)  # noqa: ASYNC102  # in asyncio
            ended.append(True)

    async def main() -> None:
        async with trio_beam.asyncio.Endpoint("http://127.0.0.1:9/v1"):
            async for _ in numbers():
                break
            gc.collect()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    run(main)
    assert ended == [True]
