"""``trio-beam generate``: run one search."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import attrs
import click

from trio_beam.cli.generate_command import GenerateCommand
from trio_beam.command.api_keys import read_api_key
from trio_beam.command.request_options import parse_body, parse_header
from trio_beam.command.runner import plain_errors, run
from trio_beam.command.strategy_options import strategy_from, strategy_parameters


@click.command()
@click.argument("prompt")
@click.option(
    "--base-url",
    envvar="OPENAI_BASE_URL",
    show_envvar=True,
    help="For example http://127.0.0.1:8000/v1.",
)
@click.option("--model", help="Model name; optional if the server lists only one.")
@click.option(
    "--api-key-env",
    metavar="NAME",
    help="Environment variable with the API key.  [default: the host's, or OPENAI_API_KEY]",
)
@click.option(
    "--header",
    "headers",
    multiple=True,
    metavar="'NAME: VALUE'",
    help="Header of every request; may be given several times.",
)
@click.option("--extra-body", metavar="JSON", help="Fields of every request, as a JSON object.")
@click.option(
    "--local", is_flag=True, help="Use the embedded model. The default if no base URL is given."
)
@click.option(
    "--model-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Another GGUF file for --local.",
)
@click.option(
    "--api", type=click.Choice(["auto", "completions", "chat"]), default="auto", show_default=True
)
@click.option(
    "--dialect", default="auto", show_default=True, help="The server's dialect: auto or a name."
)
@click.option(
    "--chat", is_flag=True, help="Treat the prompt as a user message and search for the answer."
)
@click.option(
    "--system", metavar="TEXT", help="A system message before the prompt (implies --chat)."
)
@strategy_parameters
@click.option(
    "--within", type=float, metavar="SECONDS", help="Return the best result so far after this time."
)
@click.option(
    "--max-concurrent",
    type=int,
    default=100,
    show_default=True,
    help="Maximum number of requests in flight.",
)
@click.option("--attempt-timeout", type=float, metavar="SECONDS", default=300.0, show_default=True)
@click.option("--stream", is_flag=True, help="Request streamed responses.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole result as JSON.")
@click.option("--debug", is_flag=True, help="Print the [BeamSearch] lines on standard error.")
@click.option("--quiet", is_flag=True, help="No progress.")
@click.pass_context
def generate(
    ctx: click.Context, /, prompt: str, chat: bool, system: str | None, **given: Any
) -> None:
    r"""Search for the most probable continuation of PROMPT ("-" reads it from standard input).

    The text goes to standard output, everything else to standard error. Without a base URL, here or in
    OPENAI_BASE_URL, the embedded model is used. Ctrl-C prints the best result so far (exit code 130).

    \b
    Examples:
      trio-beam generate "Once upon a time"
      trio-beam generate --chat --seed 1 --max-tokens 128 "Why is the sky blue?"
      trio-beam generate --selection resample --alpha 4 --beam-width 8 "The capital of France is"
      trio-beam generate --chat --strategy self_consistency --n 8 --key "[0-9]+" --max-tokens 256 \
        "What is 17 + 25? End with the number."
      trio-beam generate --base-url http://127.0.0.1:8000/v1 --beam-width 8 --within 10 "The proof:"
      trio-beam generate --base-url https://api.x.ai/v1 --model grok-3 --api-key-env XAI_API_KEY "..."
    """
    if prompt == "-":
        prompt = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
    if given["local"] or given["model_file"]:
        if ctx.get_parameter_source("base_url") is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError("--base-url names a server, --local the embedded model: which?")
        given["base_url"] = None
    if given["base_url"] is None:
        for name in ("model", "api_key_env"):
            if given[name] is not None:
                option = "--" + name.replace("_", "-")
                raise click.UsageError(
                    f"{option} goes with --base-url; without one, the model is ours"
                )
    messages = [{"role": "user", "content": prompt}]
    if system:
        messages.insert(0, {"role": "system", "content": system})
    with plain_errors():
        given["headers"] = dict(map(parse_header, given["headers"]))
        given["extra_body"] = parse_body(given["extra_body"]) if given["extra_body"] else {}
        authorised = any(name.lower() == "authorization" for name in given["headers"])
        variable = given.pop("api_key_env")
        given["api_key"] = None if authorised else read_api_key(variable, given["base_url"])
        work = GenerateCommand(
            prompt=messages if chat or system else prompt,
            strategy=strategy_from(ctx, given),
            **{
                field.name: given[field.name]
                for field in attrs.fields(GenerateCommand)
                if field.name in given and field.name != "strategy"
            },
        )
    ctx.exit(run(work, work.interrupted))
