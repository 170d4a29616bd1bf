"""The engines of ``trio-beam batch``: where and how the searches of a run are done.

An engine is one line in `ENGINES`, a check of what it is asked to do before anything starts, and a function
that takes a `Job` and gives each of its prompts one outcome.
"""

from __future__ import annotations

from trio_beam.batch.job import Engine, Job
from trio_beam.batch.provider_engine import check_provider_batch, run_in_provider_batches
from trio_beam.batch.run import run_batch
from trio_beam.endpoint.endpoint import Endpoint


async def _run_local(job: Job) -> None:
    """Search in this process."""
    (server,) = job.servers
    async with Endpoint(**server) as endpoint:
        await run_batch(endpoint, job.pending, job.plan, job.folder, job.progress, job.observers_of)


#: By the name that ``--engine`` gives them.
ENGINES: dict[str, Engine] = {
    "local": Engine(run=_run_local),
    "openai-batch": Engine(run=run_in_provider_batches, check=check_provider_batch),
}
