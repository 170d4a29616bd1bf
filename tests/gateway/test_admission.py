"""Who may search when there are too many: lines that take turns, and the longest one loses."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_beam.gateway.admission import Admission
from trio_beam.gateway.api_error import ApiError


class World:
    """Searches that run until they are told to end."""

    def __init__(self, searches: int, waiting: int) -> None:
        self.admission = Admission(searches, waiting)
        self.entered: list[str] = []
        self.refused: list[str] = []
        self.end = trio.Semaphore(0)

    async def search(self, client: str) -> None:
        try:
            async with self.admission.admitted(client):
                self.entered.append(client)
                await self.end.acquire()
        except ApiError as error:
            self.refused.append(f"{client} {error.status}")


async def test_lines_take_turns() -> None:
    world = World(1, 9)
    async with trio.open_nursery() as nursery:
        for client in ("a", "a", "a", "a", "b", "c", "b"):
            nursery.start_soon(world.search, client)
            await wait_all_tasks_blocked()
        assert (world.admission.running, world.admission.waiting) == (1, 6)
        for _ in range(7):
            world.end.release()
            await wait_all_tasks_blocked()
    assert world.entered == ["a", "a", "b", "c", "a", "b", "a"]
    assert (world.admission.running, world.admission.waiting) == (0, 0)


async def test_the_longest_line_loses_its_last() -> None:
    world = World(1, 3)
    async with trio.open_nursery() as nursery:
        for client in ("a", "a", "a", "a", "a", "b", "c", "d"):
            nursery.start_soon(world.search, client)
            await wait_all_tasks_blocked()
        assert world.refused == ["a 429", "a 429", "a 429", "d 429"]
        for _ in range(4):
            world.end.release()
            await wait_all_tasks_blocked()
    assert world.entered == ["a", "a", "b", "c"]


async def test_who_goes_while_waiting_leaves_no_trace() -> None:
    world = World(1, 5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.search, "a")
        await wait_all_tasks_blocked()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as others:
                others.start_soon(world.search, "b")
                others.start_soon(world.search, "c")
                await wait_all_tasks_blocked()
                scope.cancel()
        assert world.admission.waiting == 0
        world.end.release()
    assert world.admission.running == 0


async def test_who_is_cancelled_when_let_in_gives_the_place_back() -> None:
    world = World(1, 5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.search, "a")
        await wait_all_tasks_blocked()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as others:
                others.start_soon(world.search, "b")
                await wait_all_tasks_blocked()
                world.admission.leave()  # b is let in, and cancelled before it runs
                scope.cancel()
        assert world.admission.running == 0
        world.admission.running += 1  # a's, which was given away above
        world.end.release()
    assert world.admission.running == 0


async def test_nobody_waits_if_nobody_may() -> None:
    admission = Admission(1, 0)
    async with admission.admitted("a"):
        with pytest.raises(ApiError, match="1 searches are running and 0 wait") as caught:
            async with admission.admitted("b"):
                pass
    assert caught.value.headers == {"retry-after": "2"}
