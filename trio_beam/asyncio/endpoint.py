"""An endpoint for asyncio, and the embedded model."""

from __future__ import annotations

import functools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import trio

from trio_beam.asyncio.bridge import HeldInTrio, run_in_trio
from trio_beam.endpoint import endpoint as of_trio
from trio_beam.endpoint.capabilities import Capabilities
from trio_beam.engine.groups import without_nursery_group
from trio_beam.local import server


class Endpoint(of_trio.Endpoint):
    """`trio_beam.Endpoint`, entered and left in asyncio.

    It takes the same arguments. The connections of an ``http_client`` belong to Trio, so the client is closed
    with the endpoint and cannot be used for anything else.
    """

    _held: HeldInTrio[None] | None = None

    async def __aenter__(self) -> Self:
        """Open; sends nothing.

        Raises:
            TrioBeamError: the endpoint is already open, or this thread already runs Trio in another way.
            ConfigError: the environment specifies an unsupported proxy.
        """
        if trio.lowlevel.in_trio_task():
            return await super().__aenter__()
        held = HeldInTrio(self._opened())
        await held.__aenter__()
        self._held = held
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close every connection."""
        held, self._held = self._held, None
        if held is None:
            await super().__aexit__(exc_type, exc_value, traceback)  # noqa: ASYNC102  # it is shielded
        else:
            await held.__aexit__(exc_type, exc_value, traceback)  # noqa: ASYNC102  # nothing interrupts it

    async def capabilities(self, *, progress: Callable[[str], None] | None = None) -> Capabilities:
        """Probe the server with some thirty small requests; the second call sends none.

        Raises:
            EndpointError: the server cannot be reached, or not be searched over.
        """
        find = super().capabilities
        return await run_in_trio(lambda: find(progress=progress))

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[None]:
        await super().__aenter__()
        try:
            yield
        finally:
            await super().__aexit__(None, None, None)  # noqa: ASYNC102  # it is shielded
            with trio.move_on_after(1, shield=True):
                await self._http.aclose_given()


@asynccontextmanager
async def serve_local(
    model_file: str | os.PathLike[str] | None = None,
    *,
    port: int = 0,
    slots: int = 8,
    context: int = 2048,
    threads: int | None = None,
) -> AsyncIterator[str]:
    """Run the embedded model's server while the block runs; yields its base URL.

    It takes the arguments of `trio_beam.serve_local`.

    Raises:
        LocalModelError: the extra ``local`` or the file is missing, or the server did not start or
            exited.
        ConfigError: an argument is out of its bounds.
    """
    options: dict[str, Any] = {"port": port, "slots": slots, "context": context, "threads": threads}
    serve = functools.partial(server.serve_local, model_file, **options)
    async with HeldInTrio(_served(serve)) as base_url:
        yield base_url


@asynccontextmanager
async def _served(serve: Callable[..., Awaitable[object]]) -> AsyncIterator[str]:
    with without_nursery_group():
        async with trio.open_nursery() as nursery:
            yield await nursery.start(serve)
            nursery.cancel_scope.cancel(reason="the block was left")
