"""The engines of ``trio-beam batch``: where and how the searches of a run are done.

An engine is one line in `ENGINES`, a check of what it is asked to do before anything starts, and a function
that takes a `Job` and gives each of its prompts one outcome.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from trio_beam.batch.progress import BatchProgress
from trio_beam.batch.prompts import PromptRecord
from trio_beam.batch.run import Keeper, Plan, run_batch
from trio_beam.core.events import Observer
from trio_beam.endpoint.endpoint import Endpoint


@attrs.frozen(kw_only=True)
class Job:
    """What an engine has to do.

    Attributes:
        base_url: of the server.
        options: further arguments of its `Endpoint`, by name.
        pending: the prompts to search, each once.
        plan: how.
        folder: takes the outcomes.
        progress: shows how far the run is; told of each outcome.
        given: the command's options, by name.
        observers_of: returns the observers of a search (for ``--trace`` and ``--log-level``) by the id of its
            prompt.
    """

    base_url: str
    options: Mapping[str, Any]
    pending: Iterator[PromptRecord]
    plan: Plan
    folder: Keeper
    progress: BatchProgress
    given: Mapping[str, Any]
    observers_of: Callable[[str], Sequence[Observer]] = lambda _: ()


def _anything(given: Mapping[str, Any], plan: Plan) -> None:
    """Accept all options and strategies."""


@attrs.frozen(kw_only=True)
class Engine:
    """One way to do a run's searches.

    Attributes:
        run: gives each prompt of a job one outcome, in its folder and its progress.
        check: called with the command's options and the plan before anything starts; raises `ConfigError` or
            `click.UsageError` for what the engine cannot do.
    """

    run: Callable[[Job], Awaitable[None]]
    check: Callable[[Mapping[str, Any], Plan], None] = _anything


async def _run_local(job: Job) -> None:
    """Search in this process."""
    async with Endpoint(job.base_url, **job.options) as endpoint:
        await run_batch(endpoint, job.pending, job.plan, job.folder, job.progress, job.observers_of)


#: By the name that ``--engine`` gives them.
ENGINES: dict[str, Engine] = {
    "local": Engine(run=_run_local),
}
