"""The engines of ``trio-beam batch``: where and how the searches of a run are done.

An engine is one line in `ENGINES`, a check of what it is asked to do before anything starts, and a function
that takes a `Job` and gives each of its prompts one outcome.
"""

from __future__ import annotations

from trio_beam.batch.job import Engine, Job
from trio_beam.batch.provider_engine import check_provider_batch, run_in_provider_batches
from trio_beam.batch.ray_engine import check_ray, refuse_ray_options, run_on_ray
from trio_beam.batch.run import run_batch
from trio_beam.endpoint.replicas import open_model


async def _run_local(job: Job) -> None:
    """Search in this process."""
    async with open_model(job.servers) as model:
        await run_batch(model, job.pending, job.plan, job.folder, job.progress, job.observers_of)


#: By the name that ``--engine`` gives them.
ENGINES: dict[str, Engine] = {
    "local": Engine(run=_run_local, check=lambda given, _: refuse_ray_options(given)),
    "ray": Engine(run=run_on_ray, check=check_ray),
    "openai-batch": Engine(run=run_in_provider_batches, check=check_provider_batch),
}
