"""A real llama.cpp server, one for the whole run, with most layers of its model left out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
import trio

from tests.e2e.short_model import shorten
from trio_beam import serve_local
from trio_beam.local.installation import find_model_file

#: Few slots, so that a search meets their limit.
SLOTS = 4


@pytest.fixture(scope="session")
def short_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model with two of its thirty layers; a token of it takes a quarter of the time."""
    path = tmp_path_factory.mktemp("model") / "SmolLM2-135M-Instruct.Q4_1.gguf"
    shorten(find_model_file(), path)
    return path


@pytest.fixture(scope="session")
def base_url(short_model: Path) -> Iterator[str]:
    """Its base URL."""
    with served(short_model) as url:
        yield url


@pytest.fixture(scope="module")
def own_base_url(short_model: Path) -> Iterator[str]:
    """One for the tests of a module: work that they abandon is not in the way of others."""
    with served(short_model) as url:
        yield url


@pytest.fixture(scope="session")
def embedded_url() -> Iterator[str]:
    """One with all layers, for what the model has to write or how long it has to take."""
    with served(None) as url:
        yield url


@pytest.fixture(scope="module")
def own_embedded_url() -> Iterator[str]:
    """One with all layers for the tests of a module."""
    with served(None) as url:
        yield url


@contextlib.contextmanager
def served(model_file: Path | None, slots: int = SLOTS, context: int = 1024) -> Iterator[str]:
    """A server in a nursery of a thread, since it outlives the nursery of any test.

    Its one compute thread never waits for another one that the tests keep from a core.

    Args:
        model_file: None: all layers of the embedded model.
        slots: sequences at the same time.
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
                        model_file,
                        slots=slots,
                        context=context,
                        threads=1,
                        task_status=task_status,
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
