"""Where `test_stateful` plays: a server, an endpoint on it, and Trio in a thread of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.endpoint.stateful_model import Run
from tests.endpoint.stateful_server import StatefulServer
from trio_beam import Endpoint, EndpointStatistics, SearchFailed, SearchResult, search_many
from trio_beam.engine.search import Search

T = TypeVar("T")


class World:
    """Time stands still but in `advance`; each method returns when all has come to a stop again."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.server = StatefulServer()
        self._options = options
        self._clock = MockClock()
        self._opened: Future[tuple[trio.lowlevel.TrioToken, Endpoint, trio.Nursery]] = Future()
        self._thread = ThreadPoolExecutor(1)
        self._ended = self._thread.submit(self._run)
        self._token, self._endpoint, self._nursery = self._opened.result(timeout=10)
        self._tasks = self._call(_count_tasks)

    def _run(self) -> None:
        trio.run(self._main, clock=self._clock)

    async def _main(self) -> None:
        async with (
            self.server.endpoint(**self._options) as endpoint,
            trio.open_nursery() as nursery,
        ):
            self._opened.set_result((trio.lowlevel.current_trio_token(), endpoint, nursery))
            await trio.sleep_forever()

    def _call(self, function: Callable[..., Awaitable[T]], *args: Any) -> T:
        answer: Future[T] = Future()

        async def run() -> None:
            answer.set_result(await function(*args))

        self._token.run_sync_soon(self._nursery.start_soon, run)
        both: list[Future[Any]] = [answer, self._ended]
        wait(both, return_when=FIRST_COMPLETED)  # a bug may be the end of Trio
        if not answer.done():
            self._ended.result()
        return answer.result(timeout=0)

    @property
    def now(self) -> float:
        """Virtual seconds."""
        return self._clock.current_time()

    @property
    def statistics(self) -> EndpointStatistics:
        """The endpoint's own."""
        return self._endpoint.statistics()

    def count_tasks(self) -> int:
        """How many tasks there are more than in the beginning."""
        return self._call(_count_tasks) - self._tasks

    def advance(self, seconds: float) -> None:
        """Let so many virtual seconds go by."""
        self._call(self._advance, seconds)

    async def _advance(self, seconds: float) -> None:
        self._clock.autojump_threshold = 0
        await trio.sleep(seconds)
        self._clock.autojump_threshold = float("inf")
        await wait_all_tasks_blocked()

    def start(self, run: Run) -> None:
        """Begin a call."""
        self._call(self._start, run)

    async def _start(self, run: Run) -> None:
        self._nursery.start_soon(self._carry_out, run)
        await wait_all_tasks_blocked()

    def cancel(self, scope: trio.CancelScope) -> None:
        """Cancel from outside."""
        self._call(_cancel, scope)

    def close(self) -> None:
        """Cancel whatever is left, close the endpoint, end Trio."""
        if not self._ended.done():
            self._token.run_sync_soon(self._nursery.cancel_scope.cancel)
        self._thread.shutdown()
        self._ended.result()

    # -- the calls

    async def _carry_out(self, run: Run) -> None:
        with run.scope:
            try:
                if run.search is None:
                    await self._search_many(run)
                else:
                    run.outcomes[run.searches[0]] = await _search(run, run.search)
            except Exception as error:
                run.surprise = error
        run.ended = trio.current_time()

    async def _search_many(self, run: Run) -> None:
        prompts = [f"{number}:" for number in run.searches]
        async with search_many(
            self._endpoint,
            prompts,
            run.config,
            max_searches=run.max_searches or 1,
            observers=[run.observe],
        ) as outcomes:
            if run.take == 0:
                return
            async for outcome in outcomes:
                number = run.searches[outcome.index]
                assert number not in run.outcomes
                found = outcome.result or outcome.error
                assert isinstance(found, (SearchResult, SearchFailed))
                run.outcomes[number] = found
                if len(run.outcomes) == run.take:
                    break

    def make_search(self, run: Run) -> Search:
        """The object behind a single search."""
        return Search(self._endpoint, f"{run.searches[0]}:", run.config, [run.observe])


async def _search(run: Run, search: Search) -> SearchResult | SearchFailed:
    try:
        return await (search.run() if run.within is None else search.run_within(run.within))
    except SearchFailed as error:
        return error


async def _count_tasks() -> int:
    await wait_all_tasks_blocked()
    return trio.lowlevel.current_statistics().tasks_living


async def _cancel(scope: trio.CancelScope) -> None:
    scope.cancel(reason="the test says so")
    await wait_all_tasks_blocked()
