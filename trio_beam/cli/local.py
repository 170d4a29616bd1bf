"""``trio-beam local``: serve the embedded model."""

from __future__ import annotations

from pathlib import Path

import click
import trio

from trio_beam.command.runner import run
from trio_beam.local.server import serve_local


@click.command()
@click.option(
    "--port", default=8080, show_default=True, help="Port on 127.0.0.1; 0 takes a free one."
)
@click.option(
    "--model-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Another GGUF file instead of the embedded model's.",
)
@click.option("--slots", default=8, show_default=True, help="Number of concurrent sequences.")
@click.option(
    "--context", default=2048, show_default=True, help="Context length per slot, in tokens."
)
@click.pass_context
def local(ctx: click.Context, port: int, model_file: Path | None, slots: int, context: int) -> None:
    r"""Serve the embedded model (SmolLM2-135M-Instruct) until Ctrl-C.

    It speaks the OpenAI protocol and llama.cpp's native one. The base URL is printed on standard output.

    \b
    Examples:
      trio-beam local
      trio-beam local --port 0 --slots 16
      OPENAI_BASE_URL=http://127.0.0.1:8080/v1 trio-beam generate "Once upon a time"
    """

    async def work(nursery: trio.Nursery) -> int:
        async def serve(task_status: trio.TaskStatus[str]) -> None:
            await serve_local(
                model_file, port=port, slots=slots, context=context, task_status=task_status
            )

        base_url = await nursery.start(serve)
        click.echo(base_url)
        click.echo("serving; Ctrl-C ends it", err=True)
        await trio.sleep_forever()

    ctx.exit(run(work))
