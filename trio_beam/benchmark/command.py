"""``trio-beam bench``: the runner, as a command of the group."""

from __future__ import annotations

import sys

import click

from trio_beam.benchmark.start import start


@click.command(
    # Its arguments, its help included, are the runner's own.
    context_settings={"ignore_unknown_options": True, "help_option_names": []}
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: tuple[str, ...]) -> None:
    """Compare strategies on a benchmark: the same as scripts/run_benchmark.py."""
    sys.exit(start("trio-beam bench", arguments))
