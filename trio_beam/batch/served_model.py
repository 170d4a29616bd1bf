"""The model of a batch that names none: the one that its servers have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from trio_beam.batch.run import Keeper, stopped_by
from trio_beam.endpoint.endpoint import Endpoint
from trio_beam.endpoint.replicas import Replicas
from trio_beam.errors import EndpointError


async def with_served_model(
    servers: Sequence[Mapping[str, Any]], folder: Keeper
) -> list[dict[str, Any]]:
    """Ask servers for their model, which the folder's answers must be of, and return them with it.

    Raises:
        RunChanged: the folder has the answers of another one.
        RunStopped: no server tells it.
    """
    try:
        async with AsyncExitStack() as stack:
            # Of that dialect, so that nothing else is asked.
            asked = [Endpoint(**{**server, "dialect": "openai"}) for server in servers]
            opened = [await stack.enter_async_context(endpoint) for endpoint in asked]
            name = await Replicas(opened).model_name()
    except EndpointError as error:
        raise stopped_by(error) from error
    folder.use_model(name)
    return [{**server, "model": name} for server in servers]
