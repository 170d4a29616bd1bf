"""A provider's files and batches, as one run uses them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import attrs
import trio

from trio_beam.batch.provider_state import Part
from trio_beam.core.language_model import RequestContext
from trio_beam.core.usage_meter import UsageMeter
from trio_beam.dialects.common.exchange import Exchange, WireRequest
from trio_beam.dialects.openai_batches import (
    BatchPage,
    FilePage,
    ProviderBatch,
    content,
    create,
    list_batches,
    list_files,
    status_of,
    upload,
)
from trio_beam.endpoint.endpoint import Endpoint
from trio_beam.endpoint.retry import is_transient
from trio_beam.errors import EndpointError

T = TypeVar("T")
#: Waits after failures that may pass, in seconds.
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0
#: Times that a file or a batch is sent, and looked for after each failure.
_ATTEMPTS = 6


@attrs.frozen(kw_only=True)
class ProviderService:
    """The files and batches of one run at a provider.

    What is sent is looked for before it is sent again, by the run's name: a lost response does not make two
    batches, for which both the provider would want money.

    Attributes:
        asking: asks what may be asked twice.
        moving: sends and fetches files, with time for it, and begins batches: an endpoint that never retries.
        run: name of the run.
        say: shows a line.
    """

    asking: Endpoint
    moving: Endpoint
    run: str
    say: Callable[[str], None]

    async def upload(self, part: Part, data: Callable[[], bytes], *, perhaps: bool) -> str:
        """Upload the file of a part unless it is there; return its id.

        Args:
            part: the part.
            data: makes the file.
            perhaps: whether it may be there already.

        Raises:
            EndpointError: the provider refuses it, or fails again and again.
        """
        name = f"trio-beam-{self.run}-{part.number}.jsonl"

        async def find() -> str | None:
            found = await self._find(list_files, lambda one: one.filename == name)
            return None if found is None else str(found.id)

        async def send() -> str:
            return (await self._send(self.moving, upload(name, data()))).id

        return await self._once(send, find, perhaps=perhaps)

    async def create(self, part: Part, *, perhaps: bool) -> str:
        """Begin the batch of a part unless it has begun; return its id.

        Raises:
            EndpointError: the provider refuses it, or fails again and again.
        """
        metadata = {"trio_beam_run": self.run, "trio_beam_part": str(part.number)}

        async def find() -> str | None:
            found = await self._find(
                list_batches, lambda one: metadata.items() <= dict(one.metadata or {}).items()
            )
            return None if found is None else str(found.id)

        async def send() -> str:
            request = create(part.file_id, part.path, metadata)
            return (await self._send(self.moving, request)).id

        return await self._once(send, find, perhaps=perhaps)

    async def batch(self, batch_id: str) -> ProviderBatch:
        """Return the state of a batch.

        Raises:
            EndpointError: the provider fails, or does not know it.
        """
        return await self._send(self.asking, status_of(batch_id))

    async def download(self, file_id: str, to: Path) -> None:
        """Bring the content of a file to the disk.

        Raises:
            EndpointError: the provider fails, or does not know it.
            OSError: the disk is full or gone.
        """
        with to.open("wb") as file:

            def begin() -> Callable[[bytes], object]:
                file.seek(0)
                file.truncate()
                return file.write

            async def fetch() -> str:
                await self._send(self.moving, content(file_id, begin))
                return file_id

            await self._once(fetch, _nowhere, perhaps=False)

    async def _once(
        self,
        send: Callable[[], Awaitable[str]],
        find: Callable[[], Awaitable[str | None]],
        *,
        perhaps: bool,
    ) -> str:
        """Send something unless it is there, again after failures that may pass; return its id."""
        wait = _FIRST_WAIT
        for attempt in range(_ATTEMPTS):
            if perhaps:
                found = await find()
                if found is not None:
                    return found
            try:
                return await send()
            except EndpointError as error:
                if not is_transient(error) or attempt + 1 == _ATTEMPTS:
                    raise
                self.say(f"{error}; again in {wait:.0f} s")
            await trio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)
            perhaps = True
        raise AssertionError

    async def _find(
        self,
        page_after: Callable[[str | None], WireRequest[BatchPage] | WireRequest[FilePage]],
        is_it: Callable[[Any], bool],
    ) -> Any:
        """Return the first of a list that is meant, or None."""
        after: str | None = None
        while True:
            page: BatchPage | FilePage = await self._send(self.asking, page_after(after))  # type: ignore[arg-type]
            for one in page.data:
                if is_it(one):
                    return one
            last = page.data[-1].id if page.data else None
            if not page.has_more or last is None or last == after:
                return None
            after = last

    async def _send(self, endpoint: Endpoint, request: WireRequest[T]) -> T:
        context = RequestContext(meter=UsageMeter(), emit=lambda _: None)
        return await endpoint.run_exchange(_one(request), context, context.meter.reservation())


async def _nowhere() -> None:
    """Find nothing: what is only fetched is nowhere yet."""
    await trio.lowlevel.checkpoint()


def _one(request: WireRequest[T]) -> Exchange[T]:
    response: T = yield request
    return response
