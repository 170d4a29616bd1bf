"""``trio-beam serve``: the gateway."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs
import click

from trio_beam import __version__
from trio_beam.command.api_keys import read_api_key
from trio_beam.command.cache import cache_of, cache_option
from trio_beam.command.embedded import model_file_option, require_model
from trio_beam.command.help import Command, option
from trio_beam.command.observing import observing_options, open_log, open_trace
from trio_beam.command.price_options import price_options, prices_from
from trio_beam.command.request_options import parse_body, parse_header
from trio_beam.command.runner import plain_errors, run
from trio_beam.command.server_options import (
    api_option,
    attempt_timeout_option,
    base_urls_option,
    dialect_option,
    header_option,
    local_option,
    max_concurrent_option,
    model_option,
    rate_options,
    rate_values,
    refuse_two_models,
    refuse_without_server,
)
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.validation import Parameter, parameters_of
from trio_beam.errors import ConfigError
from trio_beam.gateway.aliases import Aliases, Named, read_aliases
from trio_beam.gateway.api_error import ApiError
from trio_beam.gateway.limits import Limits
from trio_beam.local.keys import LOOPBACK
from trio_beam.strategies import make_strategy

#: What the extra brings.
_PACKAGES = ("hypercorn", "prometheus_client", "starlette")
F = TypeVar("F", bound=Callable[..., Any])
_EXAMPLES = """
trio-beam serve
trio-beam serve --base-url http://127.0.0.1:8000/v1 --default-strategy beam-4x2
trio-beam serve --base-url http://10.0.0.1:8000/v1 --base-url http://10.0.0.2:8000/v1 \\
    --host 0.0.0.0 --api-key-env GATEWAY_KEYS
"""


def _limits(function: F) -> F:
    """Decorate a command with an option for each of the `Limits`."""
    fields = attrs.fields_dict(Limits)
    for name, parameter in reversed(parameters_of(Limits).items()):
        function = _limit(name, parameter, fields[name].default)(function)
    return function


def _limit(name: str, parameter: Parameter, default: Any) -> Callable[[F], F]:
    return option(
        "clients",
        f"--{name.replace('_', '-')}",
        type=int if parameter.kind == "integer" else float,
        metavar=parameter.unit.upper() or "N",
        default=default,
        show_default=default is not None,
        help=parameter.help,
    )


@click.command(cls=Command, examples=_EXAMPLES)
@base_urls_option
@local_option
@model_file_option
@model_option
@option(
    "model",
    "--server-api-key-env",
    metavar="VARIABLE",
    help="Environment variable with the model server's API key."
    "  [default: that of the host, or OPENAI_API_KEY]",
)
@header_option
@option("model", "--extra-body", metavar="JSON", help="Fields of every request, as a JSON object.")
@api_option
@dialect_option
@max_concurrent_option
@price_options
@cache_option
@rate_options
@option(
    "model",
    "--stream/--no-stream",
    default=None,
    help="Ask the model for streams, so that a busy server notices a cancelled search."
    "  [default: if the server can]",
)
@option(
    "search",
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="TOML with strategies by name: [strategies.NAME], strategy = ..., parameters.",
)
@option(
    "search",
    "--default-strategy",
    metavar="NAME",
    default="beam_search",
    show_default=True,
    help="What the model's name alone means: a strategy, a short form such as beam-4x2, or a name in FILE.",
)
@option(
    "clients",
    "--port",
    default=8100,
    metavar="N",
    show_default=True,
    help="Port; 0 takes a free one.",
)
@option(
    "clients",
    "--host",
    default="127.0.0.1",
    metavar="ADDRESS",
    show_default=True,
    help="Address to listen on; one that other machines can reach needs --api-key-env.",
)
@option(
    "clients",
    "--api-key-env",
    metavar="VARIABLE",
    help="Environment variable with the clients' keys, one or several with commas between them.",
)
@option("clients", "--insecure", is_flag=True, help="Allow any --host without a key.")
@option(
    "clients",
    "--ui",
    is_flag=True,
    help="Show the searches, with prompts and texts, on a page at /ui: to each key its own.",
)
@_limits
@option(
    "failure and time",
    "--heart-beat",
    type=float,
    metavar="SECONDS",
    default=10.0,
    show_default=True,
    help="Time between two signs of life in a stream.",
)
@option(
    "failure and time",
    "--grace",
    type=float,
    metavar="SECONDS",
    default=30.0,
    show_default=True,
    help="After SIGTERM, time for the searches that run.",
)
@attempt_timeout_option(300.0)
@observing_options
@click.pass_context
def serve(ctx: click.Context, /, **given: Any) -> None:
    """Serve searches to any OpenAI client, until Ctrl-C or SIGTERM.

    The base URL is printed on standard output. A strategy is named behind the model's name
    (my-model@beam-4x2, my-model@vote-8, my-model@power-16) or in the field "search" of a request.
    """
    try:
        from trio_beam.cli.serve_command import ServeCommand  # noqa: PLC0415  # an extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _PACKAGES:
            raise
        words = 'the gateway is an extra: pip install "trio-beam[gateway]"'
        raise click.ClickException(words) from None
    base_urls = given.pop("base_urls")
    if given.pop("local") or given["model_file"]:
        refuse_two_models(ctx, "base_urls", "--base-url")
        base_urls = ()
    with plain_errors():
        aliases = read_aliases(given["config"]) if given["config"] else Aliases()
        default = _default(given["default_strategy"], aliases)
        limits = Limits(**{name: given[name] for name in parameters_of(Limits)})
        _check_own({"--default-strategy": default, **aliases.own}, limits)
        work = ServeCommand(
            base_urls=base_urls,
            model=given["model"],
            server_keys=[read_api_key(given["server_api_key_env"], url) for url in base_urls],
            headers=dict(map(parse_header, given["headers"])),
            extra_body=parse_body(given["extra_body"]) if given["extra_body"] else {},
            api=given["api"],
            dialect=given["dialect"],
            max_concurrent=given["max_concurrent"],
            rates=rate_values(given),
            prices=prices_from(given),
            stream="auto" if given["stream"] is None else given["stream"],
            attempt_timeout=given["attempt_timeout"],
            model_file=given["model_file"],
            aliases=aliases,
            default=default,
            limits=limits,
            host=given["host"],
            port=given["port"],
            keys=_keys(given),
            heart_beat=given["heart_beat"],
            grace=given["grace"],
            ui=given["ui"],
            trace=open_trace(given["trace"], given["trace_without"], __version__),
            log=open_log(given["log_level"]),
        )
        if not base_urls:
            refuse_without_server(given, "model", "server_api_key_env")
            require_model(given["model_file"])
        work.cache = cache_of(
            given["cache"], embedded=not base_urls, model_file=given["model_file"]
        )
    ctx.exit(run(work, stop=work.stop))


def _default(name: str, aliases: Aliases) -> Named:
    found = aliases.find(name)
    if found is None:
        raise ConfigError("default_strategy", f"one of {', '.join(aliases.names())}", name)
    return found


def _check_own(strategies: Mapping[str, Named], limits: Limits) -> None:
    """Refuse strategies of the gateway's own that its limits would refuse to every client."""
    for name, one in strategies.items():
        values = {"max_tokens": min(limits.max_answer_tokens, BeamSearchConfig().max_tokens)}
        try:
            limits.applied_to(make_strategy(one.strategy, values | dict(one.values)))
        except ApiError as error:
            raise click.UsageError(f"{name} ({one.strategy}): {error.message}") from None


def _keys(given: dict[str, Any]) -> tuple[str, ...]:
    """Return the clients' keys.

    Raises:
        click.UsageError: there are none, and others could reach the gateway.
    """
    variable = given["api_key_env"]
    if variable is None:
        if given["host"] not in LOOPBACK and not given["insecure"]:
            raise click.UsageError(
                f"--host {given['host']} can be reached from other machines: give clients a key"
                " (--api-key-env), or say --insecure"
            )
        return ()
    if not os.environ.get(variable):
        read_api_key(variable, None)  # says so
    keys = tuple(key for key in os.environ[variable].replace(",", " ").split() if key)
    if not keys or min(map(len, keys)) < 8:
        raise click.UsageError("--api-key-env: a key has eight or more characters")
    return keys
