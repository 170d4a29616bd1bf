"""A gateway in a thread of its own, for a browser that is driven by this one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import trio

from tests.gateway.serving import gateway_over, serving
from trio_beam import SampleRequest
from trio_beam.gateway.shown import ShownSearches
from trio_beam.testing import FakeEndpoint


@contextmanager
def shown_gateway(key: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the URL of its page and what lets all searches go on after their first round."""
    told: queue.Queue[tuple[str, trio.Event, trio.Event, trio.lowlevel.TrioToken]] = queue.Queue()

    async def main() -> None:
        stop, go_on = trio.Event(), trio.Event()

        async def before(request: SampleRequest) -> None:
            if request.beam.length:
                await go_on.wait()

        shown = ShownSearches()
        gateway = gateway_over(FakeEndpoint(before=before), keys=(key,), shown=shown)
        async with serving(gateway) as base_url:
            url = base_url.removesuffix("/v1")
            told.put((url, stop, go_on, trio.lowlevel.current_trio_token()))
            await stop.wait()
            shown.close()

    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    url, stop, go_on, token = told.get(timeout=20)
    try:
        yield url, lambda: trio.from_thread.run_sync(go_on.set, trio_token=token)
    finally:
        trio.from_thread.run_sync(go_on.set, trio_token=token)
        trio.from_thread.run_sync(stop.set, trio_token=token)
        thread.join(20)


@contextmanager
def asking(url: str, key: str, prompt: str) -> Iterator[None]:
    """Ask for a search in a thread, which has ended when the block is left."""
    search = {"tokens_per_step": 2}
    body = {"model": "m", "prompt": prompt, "max_tokens": 6, "search": search}

    def ask() -> None:
        headers = {"authorization": f"Bearer {key}"}
        httpx.post(f"{url}/v1/completions", json=body, headers=headers, timeout=30)

    thread = threading.Thread(target=ask)
    thread.start()
    yield
    thread.join(20)
