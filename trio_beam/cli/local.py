"""``trio-beam local``: serve the embedded model."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import click
import trio

from trio_beam.command.api_keys import read_api_key
from trio_beam.command.output import say, write
from trio_beam.command.runner import run
from trio_beam.local.keys import key_file, make_key_folder
from trio_beam.local.server import serve_local


@click.command()
@click.option("--port", default=8080, show_default=True, help="0 takes a free one.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; one that other machines can reach wants --api-key-env.",
)
@click.option(
    "--api-key-env", metavar="NAME", help="Environment variable with its key.  [default: a new one]"
)
@click.option(
    "--model-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Another GGUF file than the embedded model's.",
)
@click.option("--slots", default=8, show_default=True, help="Sequences at the same time.")
@click.option("--context", default=2048, show_default=True, help="Tokens for each slot.")
@click.pass_context
def local(
    ctx: click.Context,
    port: int,
    host: str,
    api_key_env: str | None,
    model_file: Path | None,
    slots: int,
    context: int,
) -> None:
    r"""Serve the embedded model (SmolLM2-135M-Instruct) until Ctrl-C.

    It speaks the OpenAI protocol and llama.cpp's own. The base URL is printed on standard output. Every
    start has a key of its own, in a file that only you can read; trio-beam finds it there. Web pages are
    refused.

    \b
    Examples:
      trio-beam local
      trio-beam local --port 0 --slots 16
      OPENAI_BASE_URL=http://127.0.0.1:8080/v1 trio-beam generate "Once upon a time"
      trio-beam local --host 0.0.0.0 --api-key-env MY_KEY
    """
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
        say(f"serving; Ctrl-C ends it; programs of others than trio-beam find its key in {file}")
        await trio.sleep_forever()

    ctx.exit(run(work))
