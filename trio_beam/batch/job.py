"""The interface of the engines of ``trio-beam batch``, and their jobs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from trio_beam.batch.progress import BatchProgress
from trio_beam.batch.prompts import PromptRecord
from trio_beam.batch.run import Keeper, Plan
from trio_beam.core.events import Observer


@attrs.frozen(kw_only=True)
class Job:
    """The job of an engine.

    Attributes:
        servers: the arguments of the `Endpoint` of each server of the model, by name.
        pending: the prompts to search, each once.
        plan: how.
        folder: takes the outcomes.
        progress: shows how far the run is; told of each outcome.
        given: the command's options, by name.
        observers_of: returns the observers of a search (for ``--trace`` and ``--log-level``) by the id of its
            prompt.
    """

    servers: Sequence[Mapping[str, Any]]
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
