"""Help and messages of the command line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

import click
import pytest
from click.testing import CliRunner

from trio_beam.cli.generate import generate
from trio_beam.cli.main import cli
from trio_beam.cli.probe import probe
from trio_beam.command.help import Choice, Command, error_in_options, option, option_names
from trio_beam.errors import ConfigError

HELP = {"COLUMNS": "80"}


def help_of(*words: str) -> str:
    done = CliRunner().invoke(cli, [*words, "--help"], env=HELP)
    assert done.exit_code == 0
    return done.output


@pytest.mark.parametrize("command", [[], ["generate"], ["local"], ["probe"]])
def test_it_fits_eighty_columns_and_has_its_examples_line_by_line(command: list[str]) -> None:
    shown = help_of(*command)
    assert max(map(len, shown.splitlines())) <= 80
    examples = shown.partition("\nExamples:\n")[2].partition("\n\n")[0].splitlines()
    assert len(examples) >= 2
    assert all(line.startswith(("  trio-beam ", "      ")) for line in examples)
    assert "\\b" not in shown


def test_every_option_of_generate_is_in_a_group_in_their_order() -> None:
    shown = help_of("generate")
    titles = [line for line in shown.splitlines() if line.endswith(":") and line[0] != " "]
    wanted = ["Model:", "Search:", "Answer:", "Failure and time:", "Output:", "Other:"]
    assert titles == ["Examples:", *wanted]
    other = shown.partition("\nOther:\n")[2]
    assert other.split() == ["-h,", "--help", "Show", "this", "message", "and", "exit."]
    answer = shown.partition("\nAnswer:\n")[2].partition("\n\n")[0]
    assert "--vote-key REGEX" in answer
    limits = shown.partition("\nFailure and time:\n")[2].partition("\n\n")[0]
    assert "--beam-timeout SECONDS" in limits
    assert "--within SECONDS" in limits


def test_a_command_imports_what_it_needs_and_no_other_command() -> None:
    program = (
        "import sys\n"
        "from trio_beam.cli.main import cli\n"
        "cli.main(['--help'], standalone_mode=False)\n"
        "assert not {'trio', 'httpx', 'attrs', 'rich'} & sys.modules.keys()\n"
        "cli.main(['generate', '--help'], standalone_mode=False)\n"
        "others = ['asyncio', 'batch', 'benchmark', 'compat', 'gateway', 'viewer']\n"
        "assert not {f'trio_beam.{name}' for name in others} & sys.modules.keys()\n"
        "assert not {'asyncio', 'matplotlib', 'pyarrow', 'starlette', 'sympy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("name", cli.list_commands(click.Context(cli)))
def test_a_command_is_what_the_group_says(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    assert command.get_short_help_str(limit=80) in help_of()


@pytest.mark.parametrize("package", ["click", "rich"])
def test_without_its_extra_a_command_says_what_to_install(package: str) -> None:
    program = (
        f"import sys; sys.modules['{package}'] = None; sys.argv[1:] = ['generate', 'x']\n"
        "from trio_beam.__main__ import main\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("trio-beam: the command line is an extra: pip install")


def test_parameters_in_help_are_spelt_as_options() -> None:
    shown = help_of("generate")
    for name in ("beam_width", "n_per_beam", "tokens_per_step", "length_penalty"):
        assert name not in shown
    assert "[mcmc] Metropolis-Hastings steps" in shown


def test_every_command_has_a_short_help_that_is_whole() -> None:
    shown = help_of().partition("Commands:\n")[2].splitlines()
    assert len(shown) == len(cli.list_commands(click.Context(cli)))
    assert all(line.endswith(".") and "..." not in line for line in shown)


def test_a_value_that_was_nearly_right() -> None:
    @click.command(cls=Command)
    @option("search", "--selection", type=Choice(["top_k", "resample"]))
    def command(selection: str) -> None:
        click.echo(selection)

    done = CliRunner().invoke(command, ["--selection", "topk"])
    assert done.exit_code == 2
    assert "Did you mean 'top_k'?" in done.output
    far = CliRunner().invoke(command, ["--selection", "zzz"])
    assert far.exit_code == 2
    assert "mean" not in far.output
    assert "Options:\n" not in far.output
    assert CliRunner().invoke(command, ["--selection", "resample"]).output == "resample\n"


def test_a_command_without_topics_has_options() -> None:
    @click.command(cls=Command)
    @click.option("--plain", help="No topic.")
    def command(plain: str) -> None:
        """Do it."""

    assert "\nOptions:\n" in CliRunner().invoke(command, ["--help"]).output


NAMES: Mapping[str, str] = {
    "beam_width": "--beam-width",
    "n": "--n",
    "selection": "--selection",
    "tokens_per_step": "--tokens-per-step",
    "base_url": "URL",
}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            ConfigError("beam_width", "a whole number from 1 up", 0),
            "--beam-width must be a whole number from 1 up, not 0",
        ),
        (
            ConfigError("tokens_per_step", "1 with selection='resample'", 5),
            "--tokens-per-step must be 1 with --selection resample, not 5",
        ),
        (
            ConfigError("n", "at most beam_width (2)", "beam_width, not n"),
            "--n must be at most --beam-width (2), not 'beam_width, not n'",
        ),
        (
            ConfigError("base_url", "a URL or None", "x"),
            "URL must be a URL, not 'x'",
        ),
        (ConfigError("prompt", "a text", ""), "prompt must be a text, not ''"),
        (
            ConfigError("other", "n times a selection", 3),
            "other must be n times a selection, not 3",
        ),
    ],
)
def test_messages_name_options(error: ConfigError, words: str) -> None:
    assert error_in_options(error, NAMES) == words


def test_names_of_a_command() -> None:
    names = option_names(generate)
    assert names["beam_width"] == "--beam-width"
    assert names["as_json"] == "--json"
    assert "prompt" not in names
    assert option_names(probe)["base_url"] == "URL"


def test_a_command_by_itself_has_the_same_help_option() -> None:
    done = CliRunner().invoke(generate, ["-h"], env=HELP)
    assert done.exit_code == 0
    assert "-h, --help" in done.output
