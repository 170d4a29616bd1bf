"""The command line: ``trio-beam bench group.key=value ...``, and ``run_benchmark.py``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from trio_beam import __version__
from trio_beam.benchmark.config import (
    describe_keys,
    load_settings,
    parse_args,
    to_yaml,
    without_effect,
)
from trio_beam.benchmark.config_files import ConfigFiles, find_config
from trio_beam.benchmark.models import read_environment
from trio_beam.benchmark.origin import as_command
from trio_beam.benchmark.overrides import Override, combinations
from trio_beam.benchmark.plan import make_plan
from trio_beam.benchmark.session import PlannedRun, Session
from trio_beam.command.observing import add_observing_arguments, open_log, open_trace
from trio_beam.command.output import guarded
from trio_beam.command.request_options import parse_body, parse_header
from trio_beam.command.runner import plain_errors, run
from trio_beam.errors import ConfigError

_TITLE = "Compare strategies on a benchmark. The same command goes on where it was interrupted."
_EXAMPLES = """\
examples:
  {program} beam_search.enabled=true benchmark.num_problems=10
  {program} beam_search.enabled=true benchmark.allow_code_execution=true
  {program} benchmark.name=reasoning_gym:chain_sum beam_search.enabled=true
  {program} model.provider=vllm model.vllm.name=my-model best_of_n.enabled=true
  {program} -m beam_search.enabled=true beam_search.beam_width=2,5,10

keys, with their defaults (--show-config prints what was given):
"""
#: Tables in files are as wide as needed.
_WIDTH_OF_FILES = 500


def main(
    argv: Sequence[str] | None = None, beside: Path = Path(), program: str = "run_benchmark.py"
) -> int:
    """Run the command and return its exit code: 2 for bad arguments, 130 after Ctrl-C.

    Args:
        argv: its arguments; None: those of the process.
        beside: folder of the program, in which ``--config-path`` is searched too.
        program: its name in the help.
    """
    return guarded(lambda: _main(sys.argv[1:] if argv is None else argv, beside, program))


def _main(argv: Sequence[str], beside: Path, program: str) -> int:
    keys = describe_keys() if {"-h", "--help"} & set(argv) else ""
    arguments = _parser(keys, program).parse_intermixed_args(argv)
    try:
        with plain_errors():
            planned = _plans(arguments, beside)
        if arguments.show_config:
            for one in planned:
                click.echo(to_yaml(one.plan.settings), nl=False)
                for strategy in one.plan.strategies:
                    click.echo(f"# {strategy.kind}: {strategy.config}")
            return 0
        with plain_errors():
            trace = open_trace(arguments.trace, arguments.trace_without, __version__)
        session = Session(
            planned=planned,
            out=_console(sys.stdout),
            err=_console(sys.stderr),
            trace=trace,
            log=open_log(arguments.log_level),
            command=as_command(Path(sys.argv[0]).name, argv),
        )
        for one in planned:
            if one.plan.settings.output.verbose:
                session.out.print(to_yaml(one.plan.settings), markup=False, highlight=False)
        return run(session, session.interrupted)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except KeyboardInterrupt:  # before or after the run, which handles it itself
        return 130


def _parser(keys: str, program: str = "") -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description=_TITLE,
        # "%" is special in argparse.
        epilog=(_EXAMPLES.format(program=program) + _indented(keys)).replace("%", "%%"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("overrides", nargs="*", metavar="group.key=value")
    add = parser.add_argument
    add(
        "-m",
        "--multirun",
        action="store_true",
        help="a sweep: run comma-separated values, range() and choice() one after the other",
    )
    add("--config", type=Path, metavar="FILE", help="YAML file that overrides the defaults")
    add("-cn", "--config-name", metavar="NAME", help="the same, by name in --config-path")
    add(
        "-cp",
        "-cd",
        "--config-path",
        "--config-dir",
        type=Path,
        metavar="FOLDER",
        help="folder with NAME.yaml and its groups (default: conf, or the current one)",
    )
    add(
        "--header",
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="header of every request; may be given several times",
    )
    add("--extra-body", metavar="JSON", help="fields of every request, as a JSON object")
    add_observing_arguments(parser)
    add("--show-config", action="store_true", help="print the configuration and exit")
    add("-c", "--cfg", choices=("job",), help="the same as --show-config")
    add("-r", "--run", action="store_true", help="no effect; for old commands")
    return parser


def _plans(arguments: argparse.Namespace, beside: Path) -> list[PlannedRun]:
    arguments.show_config |= arguments.cfg is not None
    overrides = parse_args(arguments.overrides)
    files, flags = _files(arguments, beside), _flags(arguments)
    environment = read_environment()
    chosen = combinations(overrides) if arguments.multirun else [overrides]
    swept = {one.key for one in overrides if arguments.multirun and _is_swept(one, chosen)}
    if len(chosen) > 1 and "output.dir" in {one.key for one in overrides} - swept:
        raise ConfigError(
            "output.dir", "left out in a sweep (output.results_dir holds all folders)", "one folder"
        )
    planned = []
    for combination in chosen:
        settings = load_settings([*combination, *flags], files)
        run_ = PlannedRun(
            plan=make_plan(settings, environment),
            swept=[one for one in combination if one.key in swept],
            warnings=[
                f"{key} has no effect: {group}.enabled=true switches the strategy on"
                for key, group in without_effect(settings, combination)
            ],
        )
        planned.append(run_)
    return planned


def _files(arguments: argparse.Namespace, beside: Path) -> ConfigFiles:
    name, path, file = arguments.config_name, arguments.config_path, arguments.config
    if file is not None:
        if name is not None or path is not None:
            raise ConfigError("--config", "left out beside --config-name or --config-path", file)
        return ConfigFiles(file, file.parent)
    return ConfigFiles() if name is None and path is None else find_config(name, path, beside)


def _flags(arguments: argparse.Namespace) -> list[Override]:
    """Return the options about requests as keys."""
    found = [("model.headers", *parse_header(header)) for header in arguments.header]
    body = parse_body(arguments.extra_body) if arguments.extra_body else {}
    found += [("model.extra_body", name, value) for name, value in body.items()]
    return [Override(f"{key}.{name}", json.dumps(value)) for key, name, value in found]


def _is_swept(override: Override, chosen: Sequence[Sequence[Override]]) -> bool:
    return len({one.text for args in chosen for one in args if one.key == override.key}) > 1


def _indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())


def _console(file: object) -> Console:
    console = Console(file=file)  # type: ignore[arg-type]  # a standard stream
    if not console.is_terminal:
        console = Console(file=file, width=_WIDTH_OF_FILES)  # type: ignore[arg-type]
    return console
