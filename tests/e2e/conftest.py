"""A real llama.cpp server with the embedded model, one for the whole run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from threading import Event, Thread

import pytest
import trio

from trio_beam import serve_local

#: Few slots, so that a search meets their limit.
SLOTS = 4


@pytest.fixture(scope="session")
def base_url() -> Iterator[str]:
    """Its base URL."""
    with served() as url:
        yield url


@pytest.fixture(scope="module")
def own_base_url() -> Iterator[str]:
    """One for the tests of a module: work that they abandon is not in the way of others."""
    with served() as url:
        yield url


@contextlib.contextmanager
def served(slots: int = SLOTS, threads: int | None = None, context: int = 1024) -> Iterator[str]:
    """A server in a nursery of a thread, since it outlives the nursery of any test.

    Args:
        slots: sequences at the same time.
        threads: None: one a core.
        context: tokens of a sequence.
    """
    found: list[str] = []
    ready = Event()
    scope = trio.CancelScope()
    tokens: list[trio.lowlevel.TrioToken] = []

    async def serve() -> None:
        tokens.append(trio.lowlevel.current_trio_token())
        with scope:
            async with trio.open_nursery() as nursery:

                async def start(task_status: trio.TaskStatus[str]) -> None:
                    await serve_local(
                        slots=slots, context=context, threads=threads, task_status=task_status
                    )

                found.append(await nursery.start(start))
                ready.set()

    def body() -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(ready.set)
            trio.run(serve)

    thread = Thread(target=body)
    thread.start()
    assert ready.wait(120)
    assert found, "the embedded model did not start"
    yield found[0]
    tokens[0].run_sync_soon(scope.cancel)
    thread.join(30)
