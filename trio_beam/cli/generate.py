"""``trio-beam generate``: one search, from the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import attrs
import click

from trio_beam.cli.generate_command import OneSearch
from trio_beam.cli.runner import plain_errors, read_api_key, run
from trio_beam.cli.vote_pattern import last_match
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.judge import Judge

_DEFAULTS = BeamSearchConfig()


@click.command()
@click.argument("prompt")
@click.option(
    "--base-url",
    envvar="OPENAI_BASE_URL",
    show_envvar=True,
    help="For example http://127.0.0.1:8000/v1.",
)
@click.option("--model", help="Its name; may be left out if the server lists only one.")
@click.option(
    "--api-key-env",
    metavar="NAME",
    help="Environment variable with the API key.  [default: OPENAI_API_KEY]",
)
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
    "--dialect", default="auto", show_default=True, help="How the server speaks: auto or a name."
)
@click.option(
    "--chat", is_flag=True, help="The prompt is a user's message; the answer is searched for."
)
@click.option("--system", metavar="TEXT", help="A system message in front of it (implies --chat).")
@click.option(
    "--beam-width", type=int, default=_DEFAULTS.beam_width, show_default=True, help="Beams kept."
)
@click.option(
    "--n-per-beam",
    type=int,
    default=_DEFAULTS.n_per_beam,
    show_default=True,
    help="Continuations of each beam.",
)
@click.option(
    "--tokens-per-step",
    type=int,
    default=_DEFAULTS.tokens_per_step,
    show_default=True,
    help="Length of a block in tokens.",
)
@click.option(
    "--max-tokens",
    type=int,
    default=_DEFAULTS.max_tokens,
    show_default=True,
    help="Greatest length of a beam in tokens.",
)
@click.option(
    "--alpha", type=float, default=_DEFAULTS.alpha, show_default=True, help="Exponent of p^alpha."
)
@click.option(
    "--length-penalty",
    type=float,
    default=_DEFAULTS.length_penalty,
    show_default=True,
    help="0: none.",
)
@click.option(
    "--temperature",
    type=float,
    default=_DEFAULTS.proposal_temperature,
    show_default=True,
    help="Of the sampling.",
)
@click.option(
    "--top-logprobs",
    type=int,
    default=0,
    show_default=True,
    help="Alternatives beside each token, in --json.",
)
@click.option(
    "--stop", multiple=True, metavar="TEXT", help="End a beam at this text; may be repeated."
)
@click.option("--seed", type=int, help="Makes the search repeatable.")
@click.option(
    "--early-stopping",
    type=click.Choice(["true", "bound", "false"]),
    default="true",
    show_default=True,
)
@click.option(
    "--selection",
    default=_DEFAULTS.selection,
    show_default=True,
    help="Which candidates stay: top_k (the best), resample (by chance, as p^alpha says) or subtrees"
    " (of each independent subtree the best).",
)
@click.option(
    "--proposal",
    type=click.Choice(["sample", "enumerate"]),
    default=_DEFAULTS.proposal,
    show_default=True,
    help="sample, or enumerate: classical beam search, with --tokens-per-step 1.",
)
@click.option(
    "--ess-threshold",
    type=float,
    default=_DEFAULTS.ess_threshold,
    show_default=True,
    help="With resample: resample below this share of effective particles.",
)
@click.option(
    "--lookahead-tokens",
    type=int,
    default=_DEFAULTS.lookahead_tokens,
    show_default=True,
    help="With resample: length of the rollouts that estimate a candidate's future.",
)
@click.option(
    "--lookahead-rollouts",
    type=int,
    default=_DEFAULTS.lookahead_rollouts,
    show_default=True,
    help="How many of them for each candidate.",
)
@click.option(
    "--scorer",
    default=_DEFAULTS.scorer,
    show_default=True,
    help="What a candidate is worth: power, mean_logprob, or judge (the model is asked).",
)
@click.option(
    "--judge-question",
    metavar="TEXT",
    help="The judge's yes/no question, with {prompt} and {text} in it (implies --scorer judge).",
)
@click.option(
    "--answer",
    type=click.Choice(["best", "vote"]),
    default=_DEFAULTS.answer,
    show_default=True,
    help="The best beam, or the best of those with the answer that most beams come to.",
)
@click.option(
    "--vote-key",
    metavar="REGEX",
    help="A text's answer: what this matches last (its first group, if it has one).",
)
@click.option(
    "--vote-by",
    type=click.Choice(["count", "score"]),
    default=_DEFAULTS.vote_by,
    show_default=True,
    help="A vote for each candidate, or by its score.",
)
@click.option(
    "--within", type=float, metavar="SECONDS", help="Return the best so far after that time."
)
@click.option(
    "--beam-timeout", type=float, metavar="SECONDS", help="Most time for a beam in a round."
)
@click.option(
    "--on-beam-failure",
    type=click.Choice(["cancel_siblings", "drop_beam"]),
    default="cancel_siblings",
    show_default=True,
)
@click.option(
    "--min-beams", type=int, default=1, show_default=True, help="That must survive, with drop_beam."
)
@click.option("--max-total-tokens", type=int, help="Most tokens generated, all beams together.")
@click.option(
    "--max-concurrent", type=int, default=100, show_default=True, help="Requests in flight."
)
@click.option("--attempt-timeout", type=float, metavar="SECONDS", default=300.0, show_default=True)
@click.option("--stream", is_flag=True, help="Ask for answers as streams.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole result as JSON.")
@click.option("--debug", is_flag=True, help="Print the [BeamSearch] lines on standard error.")
@click.option("--quiet", is_flag=True, help="No progress.")
@click.pass_context
def generate(
    ctx: click.Context, /, prompt: str, chat: bool, system: str | None, **given: Any
) -> None:
    r"""Search for the most probable continuation of PROMPT ("-" reads it from standard input).

    The text goes to standard output, everything else to standard error. Without a base URL, here or
    in OPENAI_BASE_URL, the embedded model is used. Ctrl-C prints the best so far (exit code 130).

    \b
    Examples:
      trio-beam generate "Once upon a time"
      trio-beam generate --chat --seed 1 --max-tokens 128 "Why is the sky blue?"
      trio-beam generate --selection resample --alpha 4 --beam-width 8 "The capital of France is"
      trio-beam generate --chat --beam-width 8 --n-per-beam 1 --tokens-per-step 256 --max-tokens 256 \
        --answer vote --vote-key "[0-9]+" "What is 17 + 25? End with the number."
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
        given["api_key"] = read_api_key(given.pop("api_key_env"))
        work = OneSearch(
            prompt=messages if chat or system else prompt,
            config=_config(given),
            **{
                field.name: given[field.name]
                for field in attrs.fields(OneSearch)
                if field.name in given
            },
        )
    ctx.exit(run(work, work.interrupted))


def _config(given: dict[str, Any]) -> BeamSearchConfig:
    """The options that are fields of the configuration, by the same names."""
    names = {field.name for field in attrs.fields(BeamSearchConfig)} & given.keys()
    values = {name: given[name] for name in names}
    values["proposal_temperature"] = given["temperature"]
    values["early_stopping"] = {"true": True, "false": False}.get(given["early_stopping"], "bound")
    values["use_length_penalty"] = given["length_penalty"] != 0
    if given["judge_question"] is not None:
        values["scorer"] = Judge(question=given["judge_question"])
    if given["vote_key"] is not None:
        values |= {"answer": "vote", "vote_key": last_match(given["vote_key"])}
    return BeamSearchConfig(**values)
