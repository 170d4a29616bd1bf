"""``trio-beam generate``: run one search."""

from __future__ import annotations

import sys
from typing import Any

import attrs
import click

from trio_beam import __version__
from trio_beam.cli.generate_command import GenerateCommand
from trio_beam.command.cache import cache_of, cache_option, explain_unused
from trio_beam.command.embedded import model_file_option, require_model
from trio_beam.command.help import Command, option
from trio_beam.command.observing import observing_options, open_log, open_trace
from trio_beam.command.output import say
from trio_beam.command.price_options import price_options, prices_from
from trio_beam.command.runner import plain_errors, run
from trio_beam.command.server_options import (
    api_key_option,
    api_option,
    attempt_timeout_option,
    base_url_option,
    choose_model,
    dialect_option,
    header_option,
    headers_and_key,
    local_option,
    max_concurrent_option,
    model_option,
    rate_options,
    rate_values,
)
from trio_beam.command.strategy_options import strategy_from, strategy_parameters

_EXAMPLES = """
trio-beam generate --chat --seed 1 --temperature 0.6 --beam-width 4 \\
    --tokens-per-step 8 "What is a black hole, in one sentence?"
trio-beam generate --base-url http://127.0.0.1:8000/v1 --beam-width 8 \\
    --within 10 "The proof:"
"""


@click.command(cls=Command, examples=_EXAMPLES)
@click.argument("prompt")
@base_url_option
@model_option
@api_key_option
@header_option
@local_option
@model_file_option
@api_option
@dialect_option
@option(
    "model",
    "--chat",
    is_flag=True,
    help="PROMPT is a user's message, and not a text to go on with.",
)
@option("model", "--system", metavar="TEXT", help="A system message before it (implies --chat).")
@max_concurrent_option
@price_options
@cache_option
@rate_options
@option("model", "--stream", is_flag=True, help="Ask for responses as streams.")
@strategy_parameters
@option(
    "failure and time",
    "--within",
    type=float,
    metavar="SECONDS",
    help="Return the best so far after that time.",
)
@attempt_timeout_option(300.0)
@option("output", "--json", "as_json", is_flag=True, help="Print the whole result as JSON.")
@option("output", "--debug", is_flag=True, help="Print the [BeamSearch] lines on standard error.")
@option("output", "--tree", is_flag=True, help="At the end, print the tree of beams.")
@observing_options
@option("output", "-q", "--quiet", is_flag=True, help="Say nothing on standard error but errors.")
@click.pass_context
def generate(
    ctx: click.Context, /, prompt: str, chat: bool, system: str | None, **given: Any
) -> None:
    """Search for the best text after PROMPT; "-" reads it from standard input.

    The text goes to standard output, everything else to standard error. Ctrl-C prints the best so far,
    with exit code 130.
    """
    if prompt == "-":
        prompt = _standard_input()
    choose_model(ctx, given)
    messages = [{"role": "user", "content": prompt}]
    if system:
        messages.insert(0, {"role": "system", "content": system})
    with plain_errors():
        given["headers"], given["api_key"] = headers_and_key(given)
        given["prices"] = prices_from(given)
        given["rates"] = rate_values(given)
        given["trace"] = open_trace(given["trace"], given["trace_without"], __version__)
        given["log"] = open_log(given["log_level"])
        work = GenerateCommand(
            prompt=messages if chat or system else prompt,
            strategy=strategy_from(ctx, given),
            **{
                field.name: given[field.name]
                for field in attrs.fields(GenerateCommand)
                if field.init and field.name in given and field.name != "strategy"
            },
        )
        if work.base_url is None:
            work.embedded = require_model(work.model_file)
        embedded = work.base_url is None
        work.cache = cache_of(given["cache"], embedded=embedded, model_file=work.model_file)
        if work.cache is not None and (unused := explain_unused(work.strategy)):
            say(unused)
    ctx.exit(run(work, work.interrupted))


def _standard_input() -> str:
    if sys.stdin is None:
        raise click.UsageError("the prompt is to be read from standard input, which is closed")
    try:
        return sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise click.ClickException(f"cannot read standard input: {error.strerror}") from None
