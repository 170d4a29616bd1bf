"""``trio-beam batch``: search for every prompt of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trio_beam.batch.engines import ENGINES
from trio_beam.batch.parquet import check_pyarrow
from trio_beam.batch.ray_engine import ray_options
from trio_beam.batch.session import BatchSession
from trio_beam.command.cache import cache_option
from trio_beam.command.embedded import model_file_option
from trio_beam.command.help import Choice, Command, option
from trio_beam.command.observing import observing_options
from trio_beam.command.price_options import price_options
from trio_beam.command.runner import plain_errors, run
from trio_beam.command.server_options import (
    api_key_option,
    api_option,
    attempt_timeout_option,
    base_urls_option,
    choose_model,
    dialect_option,
    header_option,
    local_option,
    max_concurrent_option,
    model_option,
    rate_options,
)
from trio_beam.command.strategy_options import strategy_parameters

_EXAMPLES = """
trio-beam batch prompts.jsonl --out answers --seed 1
trio-beam batch prompts.csv.gz --out answers --base-url http://127.0.0.1:8000/v1 \\
    --strategy self_consistency --n 8 --max-searches 64 --parquet
"""


@click.command(cls=Command, examples=_EXAMPLES)
@click.argument("prompts", type=click.Path(path_type=Path))
@option(
    "output",
    "--out",
    "out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Folder of the answers. The same command goes on where it stopped.",
)
@base_urls_option
@model_option
@api_key_option
@header_option
@local_option
@model_file_option
@api_option
@dialect_option
@max_concurrent_option
@price_options
@cache_option
@rate_options
@option(
    "model",
    "--max-searches",
    type=click.IntRange(min=1),
    metavar="N",
    default=16,
    show_default=True,
    help="Prompts at the same time.",
)
@option(
    "model",
    "--engine",
    type=Choice(list(ENGINES)),
    default="local",
    show_default=True,
    help=f"How the searches are done: {', '.join(ENGINES)}.",
)
@ray_options
@strategy_parameters
@attempt_timeout_option(300.0)
@option(
    "failure and time",
    "--max-failures",
    type=click.IntRange(min=0),
    metavar="N",
    help="Stop when more prompts have failed.",
)
@option(
    "failure and time",
    "--retry-failed",
    is_flag=True,
    help="Search again for the prompts that failed before.",
)
@option(
    "failure and time",
    "--allow-changes",
    is_flag=True,
    help="Go on although the strategy, the model or prompts have changed.",
)
@option(
    "failure and time",
    "--max-run-cost",
    type=click.FloatRange(min=0, min_open=True),
    metavar="USD",
    help="Stop before the run, what is done already included, could cost more.",
)
@option(
    "input",
    "--dry-run",
    type=click.IntRange(min=1),
    metavar="N",
    help="Search for the first N prompts only, write nothing, and estimate tokens, cost and time of the run.",
)
@option("input", "--limit", type=click.IntRange(min=1), metavar="N", help="Only N more prompts.")
@option(
    "input",
    "--shuffle-seed",
    type=int,
    metavar="N",
    help="Search in a random order, the same for the same number.",
)
@option("output", "--beams", "all_beams", is_flag=True, help="All beams of each prompt.")
@option("output", "--parquet", is_flag=True, help="At the end, the answers as Parquet too.")
@observing_options
@option("output", "-q", "--quiet", is_flag=True, help="Say nothing on standard error but errors.")
@click.pass_context
def batch(ctx: click.Context, /, prompts: Path, out: Path, **given: Any) -> None:
    """Search for every prompt of PROMPTS: JSON lines, CSV or Parquet, compressed or not.

    A record has "prompt" (a text) or "messages", an "id" (else the number of its line), and perhaps "search",
    an object with parameters of its own. FOLDER/results.jsonl gets a line for each as it is done; prompts
    without an answer are in failures.jsonl. Killed at any moment, the same command goes on.
    """
    choose_model(ctx, given)
    with plain_errors():
        if given["parquet"]:
            check_pyarrow()
        work = BatchSession(ctx, prompts, out, given)
    ctx.exit(run(work, work.interrupted))
