"""``trio-beam``, the group of all commands.

Only results go to standard output; progress and messages go to standard error. Exit codes: 0; 1 for a
failed search; 2 for invalid arguments; 128 + the signal's number (130 after Ctrl-C), after printing the
best result so far.
"""

from __future__ import annotations

import click

from trio_beam import __version__
from trio_beam.command.help import Group, Late

_EXAMPLES = """
trio-beam generate --chat --seed 1 --temperature 0.6 --beam-width 4 \\
    --tokens-per-step 8 "What is a black hole, in one sentence?"
trio-beam generate --base-url http://127.0.0.1:8000/v1 --chat "Why?"
trio-beam probe http://127.0.0.1:8000/v1
"""

_COMMANDS = {
    "batch": Late(
        "trio_beam.batch.command", "batch", "Search for every prompt of a file, resumably."
    ),
    "bench": Late(
        "trio_beam.benchmark.command", "bench", "Compare strategies on a benchmark (extra bench)."
    ),
    "generate": Late(
        "trio_beam.cli.generate", "generate", "Search for the best text after a prompt."
    ),
    "local": Late("trio_beam.cli.local", "local", "Serve the embedded model, or install it."),
    "probe": Late("trio_beam.cli.probe", "probe", "Find out what a server can do."),
    "serve": Late("trio_beam.cli.serve", "serve", "Serve searches behind the OpenAI protocol."),
    "view": Late("trio_beam.cli.view", "view", "Look at a recorded search."),
}


@click.group(cls=Group, commands=_COMMANDS, examples=_EXAMPLES)
@click.version_option(__version__, prog_name="trio-beam")
def cli() -> None:
    """Block-level beam search over any OpenAI-compatible completion server.

    Completion in bash: eval "$(_TRIO_BEAM_COMPLETE=bash_source trio-beam)"; zsh and fish likewise, with
    zsh_source and fish_source.
    """
