"""``--cache``: the responses that need not be asked for again."""

from __future__ import annotations

from pathlib import Path

import click

from trio_beam.command.help import option
from trio_beam.core.strategy import Strategy
from trio_beam.endpoint.cache import ResponseCache
from trio_beam.local.installation import find_model_file
from trio_beam.records.identity import fingerprint

#: ``--cache``, of every command that searches.
cache_option = option(
    "model",
    "--cache",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Keep responses there, and ask for none a second time. Samples need a seed for it.",
)


def cache_of(
    folder: Path | None, *, embedded: bool, model_file: Path | None
) -> ResponseCache | None:
    """Return the cache in a folder.

    The embedded model is at another port each time: there its file stands for the server.

    Args:
        folder: None: no cache.
        embedded: whether the embedded model is asked.
        model_file: of another model to embed.

    Raises:
        LocalModelError: the embedded model is not installed.
    """
    if folder is None:
        return None
    server = f"embedded {fingerprint(model_file or find_model_file())}" if embedded else None
    return ResponseCache(folder, server=server)


def explain_unused(strategy: Strategy) -> str | None:
    """Say why no sample of a strategy is kept; None if they are."""
    enumerates = getattr(strategy, "proposal", "sample") == "enumerate"
    if strategy.seed is not None or strategy.proposal_temperature == 0 or enumerates:
        return None
    return "--cache keeps no samples without a seed, which are meant to differ: add --seed"
