"""The command line: ``run_benchmark.py group.key=value ...``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from trio_beam.benchmark.config import load_settings, parse_words, to_yaml
from trio_beam.benchmark.models import read_environment
from trio_beam.benchmark.overrides import Override, combinations
from trio_beam.benchmark.plan import make_plan
from trio_beam.benchmark.session import PlannedRun, Session
from trio_beam.command.runner import plain_errors, run
from trio_beam.errors import ConfigError

_TITLE = "Compare strategies on a benchmark. The same command goes on where it was interrupted."
_EXAMPLES = """\
examples:
  run_benchmark.py beam_search.enabled=true benchmark.num_problems=10
  run_benchmark.py beam_search.enabled=true benchmark.allow_code_execution=true
  run_benchmark.py benchmark.name=reasoning_gym:chain_sum beam_search.enabled=true
  run_benchmark.py model.provider=vllm model.vllm.name=my-model best_of_n.enabled=true
  run_benchmark.py -m beam_search.enabled=true beam_search.beam_width=2,5,10

keys, with their defaults (--show-config prints them with what was given):
"""
#: Where nobody looks on, tables are as wide as they have to be.
_WIDTH_OF_FILES = 200


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 2 for bad arguments, 130 after Ctrl-C."""
    arguments = _parser().parse_intermixed_args(argv)
    try:
        with plain_errors():
            planned = _plans(arguments)
        if arguments.show_config:
            for one in planned:
                click.echo(to_yaml(one.plan.settings))
            return 0
        session = Session(planned=planned, out=_console(sys.stdout), err=_console(sys.stderr))
        for one in planned:
            if one.plan.settings.output.verbose:
                session.out.print(to_yaml(one.plan.settings), markup=False, highlight=False)
        return run(session, session.interrupted)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except KeyboardInterrupt:  # before or after the run, which has its own answer to it
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=_TITLE,
        epilog=_EXAMPLES + _keys(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("overrides", nargs="*", metavar="group.key=value")
    parser.add_argument(
        "-m",
        "--multirun",
        action="store_true",
        help="a sweep: values with commas between them are run one after the other",
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="YAML that goes over the defaults"
    )
    parser.add_argument(
        "--show-config", action="store_true", help="print the configuration, and run nothing"
    )
    return parser


def _keys() -> str:
    settings = to_yaml(load_settings([]))
    return "".join(f"  {line}\n" for line in settings.splitlines())


def _plans(arguments: argparse.Namespace) -> list[PlannedRun]:
    overrides = parse_words(arguments.overrides)
    environment = read_environment()
    chosen = combinations(overrides) if arguments.multirun else [overrides]
    swept = {one.key for one in overrides if arguments.multirun and _is_swept(one, chosen)}
    if len(chosen) > 1 and "output.dir" in {one.key for one in overrides} - swept:
        raise ConfigError(
            "output.dir", "left out in a sweep (output.results_dir holds all folders)", "one folder"
        )
    return [
        PlannedRun(
            plan=make_plan(load_settings(combination, arguments.config), environment),
            swept=[one for one in combination if one.key in swept],
        )
        for combination in chosen
    ]


def _is_swept(override: Override, chosen: Sequence[Sequence[Override]]) -> bool:
    return len({one.text for words in chosen for one in words if one.key == override.key}) > 1


def _console(file: object) -> Console:
    console = Console(file=file)  # type: ignore[arg-type]  # a standard stream
    if not console.is_terminal:
        console = Console(file=file, width=_WIDTH_OF_FILES)  # type: ignore[arg-type]
    return console
