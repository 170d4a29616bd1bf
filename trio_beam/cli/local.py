"""``trio-beam local``: serve the embedded model, or install it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import click
import trio

from trio_beam.command.api_keys import read_api_key
from trio_beam.command.embedded import install, model_file_option, require_model
from trio_beam.command.help import Command, option
from trio_beam.command.output import say, write
from trio_beam.command.runner import plain_errors, run
from trio_beam.local.keys import key_file, make_key_folder
from trio_beam.local.server import serve_local

_EXAMPLES = """
trio-beam local --install
trio-beam local
trio-beam local --port 0 --slots 16
trio-beam generate --base-url http://127.0.0.1:8080/v1 --chat "Why?"
trio-beam local --host 0.0.0.0 --api-key-env MY_KEY
"""


@click.command(cls=Command, examples=_EXAMPLES)
@option("model", "--install", "wanted", is_flag=True, help="Install the model's file, and end.")
@model_file_option
@option(
    "model",
    "--port",
    default=8080,
    metavar="N",
    show_default=True,
    help="Port; 0 takes a free one.",
)
@option(
    "model",
    "--host",
    default="127.0.0.1",
    metavar="ADDRESS",
    show_default=True,
    help="Address to listen on; one that other machines can reach needs --api-key-env.",
)
@option(
    "model",
    "--api-key-env",
    metavar="NAME",
    help="Environment variable with the server's key.  [default: a new key]",
)
@option(
    "model",
    "--slots",
    default=8,
    metavar="N",
    show_default=True,
    help="Sequences at the same time.",
)
@option(
    "model",
    "--context",
    default=2048,
    metavar="TOKENS",
    show_default=True,
    help="Longest prompt and beam, for each slot.",
)
@click.pass_context
def local(
    ctx: click.Context,
    wanted: bool,
    port: int,
    host: str,
    api_key_env: str | None,
    model_file: Path | None,
    slots: int,
    context: int,
) -> None:
    """Serve the embedded model (SmolLM2-135M-Instruct) until Ctrl-C.

    It speaks the OpenAI protocol and llama.cpp's native one. The base URL is printed on standard output. Each
    start has a new key, in a file that only you can read, where trio-beam finds it; web pages are refused.
    """
    with plain_errors():
        if wanted:
            if model_file is not None:
                raise click.UsageError("--install gets the embedded model, --model-file is another")
            install(say)
            return
        name = require_model(model_file)
    api_key = read_api_key(api_key_env, None)

    async def work(nursery: trio.Nursery) -> int:
        async def serve(task_status: trio.TaskStatus[str]) -> None:
            await serve_local(
                model_file,
                port=port,
                slots=slots,
                context=context,
                host=host,
                api_key=api_key,
                task_status=task_status,
            )

        base_url = await nursery.start(serve)
        write(base_url)
        file = key_file(make_key_folder(), urlsplit(base_url).port or 80)
        say(f"serving {name}; Ctrl-C ends it; programs other than trio-beam find its key in {file}")
        await trio.sleep_forever()

    ctx.exit(run(work))
