"""``trio-beam probe``: report a server's capabilities."""

from __future__ import annotations

from typing import Any

import click
import trio

from trio_beam.command import output
from trio_beam.command.api_keys import read_api_key
from trio_beam.command.embedded import require_model
from trio_beam.command.help import Command, option
from trio_beam.command.runner import plain_errors, run
from trio_beam.command.server_options import (
    api_key_option,
    attempt_timeout_option,
    dialect_option,
    local_option,
    model_option,
    rate_options,
    rate_values,
    refuse_two_models,
)
from trio_beam.core.printable import printable
from trio_beam.endpoint.capabilities import Capabilities
from trio_beam.endpoint.endpoint import Endpoint
from trio_beam.local.server import serve_local

_EXAMPLES = """
trio-beam probe http://127.0.0.1:8000/v1
trio-beam probe --json --model smollm2:135m http://127.0.0.1:11434/v1
trio-beam probe --local
"""


@click.command(cls=Command, examples=_EXAMPLES)
@click.argument("base_url", metavar="[URL]", required=False, envvar="OPENAI_BASE_URL")
@model_option
@api_key_option
@dialect_option
@local_option
@rate_options
@attempt_timeout_option(60.0)
@option("output", "--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@option("output", "-q", "--quiet", is_flag=True, help="No progress.")
@click.pass_context
def probe(ctx: click.Context, /, base_url: str | None, **given: Any) -> None:
    """Find out what the server at URL (for example http://127.0.0.1:8000/v1) can do.

    It queries the server and tests what a search depends on with about thirty small requests: some 350
    tokens, and one longer request that is cancelled. Without a URL, here or in OPENAI_BASE_URL, the
    embedded model is probed.
    """
    if given["local"]:
        refuse_two_models(ctx, "base_url", "URL")
        base_url = None
    with plain_errors():
        options = {
            "model": given["model"] if base_url else None,
            "api_key": read_api_key(given["api_key_env"], base_url) if base_url else None,
            "dialect": given["dialect"],
            "attempt_timeout": given["attempt_timeout"],
            **rate_values(given),
        }
        # Report invalid arguments before anything starts.
        Endpoint(base_url or "http://127.0.0.1/v1", **options)
        name = "" if base_url else require_model(None)

    def say(words: str) -> None:
        if not given["quiet"]:
            output.say(words)

    async def work(nursery: trio.Nursery) -> int:
        url = base_url
        if url is None:
            say(f"starting the embedded model, {name}")
            url = await nursery.start(_serve)
        async with Endpoint(url, **options) as endpoint:
            found = await endpoint.capabilities(progress=say)
        if given["as_json"]:
            output.write_json(found.to_dict())
        else:
            output.write(describe(found))
        return 0

    ctx.exit(run(work))


async def _serve(task_status: trio.TaskStatus[str]) -> None:
    await serve_local(task_status=task_status)


def describe(found: Capabilities) -> str:
    """Return a readable report."""
    lines = [f"{title + ':':<24}{printable(words)}" for title, words in _rows(found)]
    lines += [f"note: {printable(note)}" for note in (*found.notes, *found.caveats)]
    if found.inexact:
        lines += ["", "A search here is inexact:"]
        lines += [f"- {printable(reason)}" for reason in found.inexact]
    else:
        lines += ["", "A search here is exact."]
    return "\n".join(lines)


def _rows(found: Capabilities) -> list[tuple[str, str]]:
    choices = "one" if not found.n else f"up to {found.max_n}" if found.max_n else "many"
    if found.choices_differ is not None:
        choices += ", each an independent sample" if found.choices_differ else ", all the same"
    shown = f"up to {found.max_logprobs}" if found.max_logprobs else "any number of"
    scale = {True: "the model's own", False: "scaled by the temperature", None: "basis unknown"}
    seed = _word(found.seed_repeats, "repeats", "does not repeat")
    if found.seed_plus_index is not None:
        seed += _word(found.seed_plus_index, ", choice i is seed + i", ", choice i is not seed + i")
    if found.seed_repeats and found.seed_repeats_beside_others is not None:
        seed += _word(found.seed_repeats_beside_others, "", ", but not beside other requests")
    return [
        ("server", f"{found.server or 'unknown'} at {found.base_url}"),
        ("dialect", found.dialect),
        ("model", found.model),
        ("context", f"{found.context_tokens} tokens" if found.context_tokens else "unknown"),
        ("concurrency", f"{found.slots} sequences" if found.slots else "unknown"),
        ("choices per request", choices),
        ("seed", seed),
        (
            "log-probabilities",
            f"{found.logprobs}, {shown} alternatives, {scale[found.raw_logprobs]}",
        ),
        ("end of text", _word(found.end_of_text_counted, "counted", "not counted")),
        ("token ids", f"in: {_word(found.token_ids_in)}, out: {_word(found.token_ids_out)}"),
        ("chat is continued", _word(found.continues_chat)),
        ("thinking", _word(found.thinks_apart, "apart from the text", "in the text")),
        ("streams", _word(found.streams)),
        (
            "a closed connection",
            _word(found.stops_when_closed, "stops the work", "does not stop it"),
        ),
    ]


def _word(known: bool | None, yes: str = "yes", no: str = "no") -> str:
    return {True: yes, False: no, None: "unknown"}[known]
