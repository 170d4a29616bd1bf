"""The options that name a server, the same at every command that asks one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from trio_beam.command.help import Choice, option
from trio_beam.dialects import DIALECTS

F = TypeVar("F", bound=Callable[..., Any])

base_url_option = option(
    "model",
    "--base-url",
    metavar="URL",
    envvar="OPENAI_BASE_URL",
    show_envvar=True,
    help="A server's, such as http://127.0.0.1:8000/v1. Without one: the embedded model.",
)
model_option = option(
    "model", "--model", metavar="NAME", help="May be left out if the server lists only one."
)
api_key_option = option(
    "model",
    "--api-key-env",
    metavar="VARIABLE",
    help="Environment variable with the API key.  [default: that of the host, or OPENAI_API_KEY]",
)
dialect_option = option(
    "model",
    "--dialect",
    type=Choice(["auto", *DIALECTS.names()]),
    metavar="NAME",
    default="auto",
    show_default=True,
    help=f"How the server speaks: {', '.join(DIALECTS.names())}; auto asks it.",
)


def attempt_timeout_option(default: float) -> Callable[[F], F]:
    """``--attempt-timeout``, in seconds."""
    return option(
        "failure and time",
        "--attempt-timeout",
        type=float,
        metavar="SECONDS",
        default=default,
        show_default=True,
        help="Longest time that one attempt of a request may take.",
    )


def refuse_two_models(ctx: click.Context, url: str, named: str) -> None:
    """Raise `click.UsageError` if the command line names a server and the embedded model."""
    if ctx.get_parameter_source(url) is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError(f"{named} names a server, --local the embedded model: which?")
