"""A worker of a batch on Ray: one Trio loop in a thread, with endpoints of its own.

Ray calls it in several threads at once, with a shard in each; all searches are in the one loop.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from queue import SimpleQueue
from typing import Any

import attrs
import msgspec
import trio

from trio_beam import __version__
from trio_beam.batch.prompts import PromptRecord
from trio_beam.batch.run import Plan, Searcher
from trio_beam.batch.shards import Shard, ShardOutcome
from trio_beam.endpoint.replicas import open_model
from trio_beam.errors import TrioBeamError
from trio_beam.records import to_line
from trio_beam.records.run_stopped import RunStopped

#: Columns of Ray's rows.
SHARD, OUTCOME = "shard", "outcome"


@attrs.frozen(kw_only=True)
class WorkerTask:
    """The task of a worker.

    Attributes:
        servers: the arguments of the `Endpoint` of each server, by name.
        plan: how prompts are searched; `max_searches` of them at a time.
        version: of this package where the run was started.
    """

    servers: Sequence[Mapping[str, Any]] = attrs.field(repr=False)
    plan: Plan
    version: str = __version__


class ShardSearch:
    """Searches for the prompts of shards.

    Args:
        task: what to do.

    Raises:
        TrioBeamError: this machine has another version of the package.
    """

    def __init__(self, task: WorkerTask) -> None:
        if task.version != __version__:
            raise TrioBeamError(
                f"a worker has trio-beam {__version__}, and the run was started by {task.version}:"
                " install the same on all machines"
            )
        self._task = task
        self._places = trio.CapacityLimiter(task.plan.max_searches)
        self._searcher: Searcher
        started: SimpleQueue[trio.lowlevel.TrioToken | BaseException] = SimpleQueue()
        threading.Thread(target=self._live, args=(started,), name="searches", daemon=True).start()
        found = started.get()
        if isinstance(found, BaseException):
            raise found
        self._token = found

    def __call__(self, row: Mapping[str, bytes]) -> dict[str, bytes]:
        """Search for all prompts of the encoded `Shard` in a row; return its `ShardOutcome`, encoded.

        Called in other threads than the loop's.
        """
        shard = msgspec.msgpack.decode(row[SHARD], type=Shard)
        outcome = trio.from_thread.run(self._search, shard, trio_token=self._token)
        return {OUTCOME: msgspec.msgpack.encode(outcome)}

    async def _search(self, shard: Shard) -> ShardOutcome:
        lines: list[bytes | None] = [None] * len(shard.records)
        stopped: list[str] = []

        async def search(place: int, record: PromptRecord) -> None:
            async with self._places:
                if stopped:
                    return
                try:
                    lines[place] = to_line(await self._searcher.answer(record))
                except RunStopped as error:
                    stopped.append(str(error))

        async with trio.open_nursery() as nursery:
            for place, record in enumerate(shard.prompts()):
                nursery.start_soon(search, place, record)
        return ShardOutcome(shard.first, lines, stopped[0] if stopped else "")

    def _live(self, started: SimpleQueue[trio.lowlevel.TrioToken | BaseException]) -> None:
        async def live() -> None:
            async with open_model(self._task.servers) as model:
                self._searcher = Searcher(model, self._task.plan, lambda _: None)
                started.put(trio.lowlevel.current_trio_token())
                await trio.sleep_forever()

        try:
            trio.run(live)
        except BaseException as error:
            started.put(error)
            raise
