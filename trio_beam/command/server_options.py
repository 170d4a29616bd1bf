"""The options that name a server, the same at every command that asks one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from trio_beam.command.api_keys import read_api_key
from trio_beam.command.help import Choice, option
from trio_beam.command.request_options import parse_header
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
base_urls_option = option(
    "model",
    "--base-url",
    "base_urls",
    multiple=True,
    metavar="URL",
    envvar="OPENAI_BASE_URL",
    show_envvar=True,
    help="A server's; several times for replicas of one model. Without one: the embedded model.",
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
local_option = option(
    "model", "--local", is_flag=True, help="The embedded model, whatever OPENAI_BASE_URL says."
)
header_option = option(
    "model",
    "--header",
    "headers",
    multiple=True,
    metavar="'NAME: VALUE'",
    help="Header of every request to the model; may be given several times.",
)
api_option = option(
    "model",
    "--api",
    type=Choice(["auto", "completions", "chat"]),
    default="auto",
    show_default=True,
    help="Call of the protocol; auto: chat for messages.",
)
max_concurrent_option = option(
    "model",
    "--max-concurrent",
    metavar="N",
    default="100",
    show_default=True,
    callback=lambda _ctx, _param, text: int(text) if text.lstrip("-").isdecimal() else text,
    help="Requests in flight at each server; auto finds out how many it takes.",
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


_rpm_option = option(
    "model",
    "--rpm",
    "requests_per_minute",
    type=click.IntRange(min=1),
    metavar="N",
    help="Requests in any minute to each server; further ones wait.  [default: what its headers say]",
)
_tpm_option = option(
    "model",
    "--tpm",
    "tokens_per_minute",
    type=click.IntRange(min=1),
    metavar="N",
    help="Prompt and new tokens in any minute, likewise.",
)
_rate_file_option = option(
    "model",
    "--rate-file",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Keep to --rpm and --tpm together with all processes that name the same file.",
)


def rate_options(command: F) -> F:
    """``--rpm``, ``--tpm`` and ``--rate-file``; `rate_values` returns them as an endpoint's arguments."""
    return _rpm_option(_tpm_option(_rate_file_option(command)))


def rate_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of `rate_options` as arguments of `Endpoint`."""
    return {name: given[name] for name in ("requests_per_minute", "tokens_per_minute", "rate_file")}


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


def choose_model(ctx: click.Context, given: dict[str, Any]) -> None:
    """Leave out the base URL with ``--local`` or ``--model-file``, which name the embedded model.

    Raises:
        click.UsageError: the command line names two models, or has what only a server can have.
    """
    url = "base_urls" if "base_urls" in given else "base_url"
    if given["local"] or given["model_file"]:
        refuse_two_models(ctx, url, "--base-url")
        given[url] = None
    if not given[url]:
        refuse_without_server(given, "model", "api_key_env")


def refuse_without_server(given: Mapping[str, Any], *names: str) -> None:
    """Raise `click.UsageError` if an option is given that says something about a server."""
    for name in names:
        if given[name] is not None:
            spelling = "--" + name.replace("_", "-")
            raise click.UsageError(
                f"{spelling} goes with --base-url; without one, the model is ours"
            )


def headers_and_key(given: Mapping[str, Any]) -> tuple[dict[str, str], str | None]:
    """Return the headers of every request, and the API key unless one of them authorises.

    Raises:
        ConfigError: a header has no colon, or the variable with the key is not set.
    """
    headers, (key,) = headers_and_keys(given, [given["base_url"]])
    return headers, key


def headers_and_keys(
    given: Mapping[str, Any], base_urls: Sequence[str | None]
) -> tuple[dict[str, str], list[str | None]]:
    """Return the headers of every request, and the API key of each server, as `headers_and_key` does."""
    headers = dict(map(parse_header, given["headers"]))
    authorised = any(name.lower() == "authorization" for name in headers)
    name = given["api_key_env"]
    return headers, [None if authorised else read_api_key(name, url) for url in base_urls]
