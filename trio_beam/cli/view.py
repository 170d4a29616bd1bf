"""``trio-beam view``: look at a recorded search."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console

from trio_beam.cli.tree import print_tree
from trio_beam.command.help import Command, option
from trio_beam.command.output import say
from trio_beam.command.runner import plain_errors
from trio_beam.traces import read_trace

_EXAMPLES = """
trio-beam generate --seed 1 --trace run.jsonl "Once upon a time"
trio-beam view run.jsonl --text
"""


@click.command(cls=Command, examples=_EXAMPLES, short_help="Look at a recorded search.")
@click.argument("trace", type=click.Path(path_type=Path))
@option("output", "--text", is_flag=True, help="Print the tree of beams.")
@option(
    "output",
    "--search",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only the search of that number.",
)
def view(trace: Path, *, text: bool, search: int | None) -> None:
    """Look at the searches in TRACE, a file that was written by --trace."""
    if not text:
        raise click.UsageError("say how to look at it: --text prints the tree of beams")
    with plain_errors():
        read = read_trace(trace)
    if search is not None and search > len(read.searches):
        raise click.UsageError(f"--search must be at most {len(read.searches)}, not {search}")
    for one in read.searches if search is None else [read.searches[search - 1]]:
        print_tree(Console(file=sys.stdout), one)
    if read.damaged:
        say(f"{read.damaged} lines are damaged, and were passed over")
    if read.torn:
        say("the last line is not whole: it is still being written, or a crash tore it")
