"""``trio-beam``, the group of all commands.

Only results go to standard output; progress and messages go to standard error. Exit codes: 0; 1 for a
failed search; 2 for invalid arguments; 128 + the signal's number (130 after Ctrl-C), after printing the
best result so far.
"""

from __future__ import annotations

import click

from trio_beam import __version__
from trio_beam.cli.generate import generate
from trio_beam.cli.local import local
from trio_beam.cli.probe import probe
from trio_beam.cli.serve import serve
from trio_beam.cli.view import view
from trio_beam.command.help import Group

_EXAMPLES = """
trio-beam generate --chat --seed 1 --temperature 0.6 --beam-width 4 \\
    --tokens-per-step 8 "What is a black hole, in one sentence?"
trio-beam generate --base-url http://127.0.0.1:8000/v1 --chat "Why?"
trio-beam probe http://127.0.0.1:8000/v1
"""


@click.group(cls=Group, examples=_EXAMPLES)
@click.version_option(__version__, prog_name="trio-beam")
def cli() -> None:
    """Block-level beam search over any OpenAI-compatible completion server.

    Completion in bash: eval "$(_TRIO_BEAM_COMPLETE=bash_source trio-beam)"; zsh and fish likewise, with
    zsh_source and fish_source.
    """


cli.add_command(generate)
cli.add_command(local)
cli.add_command(probe)
cli.add_command(serve)
cli.add_command(view)
