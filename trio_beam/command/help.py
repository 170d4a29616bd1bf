"""Help that reads: options in groups, examples as they were written, and values that were nearly right.

click runs the lines of a docstring together, and lists options as they come; a command has seventy.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import click

from trio_beam.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])
#: The groups, in the order in which they are shown; an option without one is under "Other".
TOPICS = ("input", "model", "clients", "search", "answer", "failure and time", "output")
_OTHER = "other"


class TopicOption(click.Option):
    """An option that belongs to one of the `TOPICS`."""

    def __init__(self, *args: Any, topic: str = _OTHER, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.topic = topic


def option(topic: str, *declarations: str, **attributes: Any) -> Callable[[F], F]:
    """Decorator: give a command an option of a topic; otherwise as ``click.option``."""
    return click.option(*declarations, cls=TopicOption, topic=topic, **attributes)


class _SwitchOrNumber(click.ParamType):  # type: ignore[type-arg]  # as below
    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return True for an option that stands alone, else its whole number."""
        return True if value in ("", True) else click.INT.convert(value, param, ctx)


def switch_or_number(topic: str, *declarations: str, help: str) -> Callable[[F], F]:  # noqa: A002
    """Decorator: an option that is True where it stands alone, or the whole number behind it."""
    return option(
        topic, *declarations, type=_SwitchOrNumber(), metavar="[N]", default=None, help=help
    )


class Choice(click.Choice):  # type: ignore[type-arg]  # generic from click 8.2 on
    """One of a few words; a message about another names the nearest."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the choice that was meant."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            near = difflib.get_close_matches(str(value), [str(one) for one in self.choices], n=1)
            if not near:
                raise
            raise click.BadParameter(
                f"{error.message} Did you mean {near[0]!r}?", ctx, param
            ) from None


class _Examples:
    """Mixin: examples below the description, line by line; -h is --help."""

    def __init__(self, *args: Any, examples: str = "", **kwargs: Any) -> None:
        # On each command: it keeps the help option of the first call, which may be one without its group.
        kwargs["context_settings"] = {"help_option_names": ["-h", "--help"]}
        super().__init__(*args, **kwargs)
        self._examples = inspect.cleandoc(examples).splitlines()

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_help_text(ctx, formatter)  # type: ignore[misc]  # of the command
        if not self._examples:
            return
        with formatter.section("Examples"):
            for line in self._examples:
                formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


class Command(_Examples, click.Command):
    """A command with examples, and with its options in groups."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; a `switch_or_number` without a number does not take what follows it."""
        own = [param for param in self.params if isinstance(param.type, _SwitchOrNumber)]
        spellings = {spelling for param in own for spelling in param.opts}
        end = args.index("--") if "--" in args else len(args)
        alone = [
            f"{arg}=" if arg in spellings and not _is_number(args[place + 1 : place + 2]) else arg
            for place, arg in enumerate(args[:end])
        ]
        return super().parse_args(ctx, alone + args[end:])

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, topic by topic."""
        groups: dict[str, list[tuple[str, str]]] = {topic: [] for topic in (*TOPICS, _OTHER)}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                groups[getattr(param, "topic", _OTHER)].append(record)
        alone = not any(groups[topic] for topic in TOPICS)
        for topic, records in groups.items():
            if records:
                with formatter.section("Options" if alone else topic.capitalize()):
                    formatter.write_dl(records, col_max=26)


def _is_number(args: Sequence[str]) -> bool:
    return any(re.fullmatch(r"-?\d+", arg) for arg in args)


class Late(NamedTuple):
    """A command that is imported when it is used."""

    module: str
    name: str
    #: What it does, in the group's help: in a sentence.
    summary: str

    def load(self) -> click.Command:
        """Import the command."""
        command: click.Command = getattr(importlib.import_module(self.module), self.name)
        command.short_help = self.summary
        return command


class Group(_Examples, click.Group):
    """A group of commands with examples, which are imported when they are used.

    Each needs packages that the others do without, and most of the time until a command begins is that of
    imports.

    Args:
        commands: by name.
    """

    def __init__(self, *args: Any, commands: Mapping[str, Late], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._late = commands

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, sorted."""
        del ctx
        return sorted(self._late)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None: there is none of that name."""
        del ctx
        return self._late[cmd_name].load() if cmd_name in self._late else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what each command does, without importing it."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, self._late[name].summary) for name in self.list_commands(ctx)]
            )


def option_names(command: click.Command) -> Mapping[str, str]:
    """Return how the options of a command are spelt, and its arguments if not by their name."""
    names: dict[str, str] = {}
    for param in command.params:
        if isinstance(param, click.Option) and param.name:
            names[param.name] = max(param.opts, key=len)
        elif param.name and param.metavar:
            names[param.name] = param.metavar.strip("[]")
    return names


def error_in_options(error: ConfigError, names: Mapping[str, str]) -> str:
    """Say what a `ConfigError` says in the words of the command line.

    Args:
        error: the error.
        names: of `option_names`.
    """
    head, message = f"{error.field} must be {error.bound}", str(error)
    if not message.startswith(head):
        head = message
    value = message.removeprefix(head)  # what was given stays as it is
    if error.field in names and head.startswith(error.field):
        head = names[error.field] + head.removeprefix(error.field)
    # None is what an option is that was not given.
    return in_options(head.replace(" or None", ""), names) + value


def in_options(words: str, names: Mapping[str, str]) -> str:
    """Spell the parameters in a text as options: ``beam_width``, or ``selection='resample'``."""
    words = re.sub(r"(?<![\w-])([a-z]\w*)='?(\w+)'?", lambda found: _assigned(found, names), words)
    plain = "|".join(name for name in names if "_" in name)
    return (
        re.sub(rf"(?<![\w-])({plain})(?!\w)", lambda one: names[one[1]], words) if plain else words
    )


def _assigned(found: re.Match[str], names: Mapping[str, str]) -> str:
    return f"{names[found[1]]} {found[2]}" if found[1] in names else found[0]
