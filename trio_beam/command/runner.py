"""Run a command: signals, exit codes and plain error messages."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias, TypeVar

import click
import trio

from trio_beam.command.help import error_in_options, option_names
from trio_beam.command.output import OutputFailed
from trio_beam.core.printable import printable
from trio_beam.errors import ConfigError, TrioBeamError

E = TypeVar("E", bound=Exception)
_SIGNALS = [
    number
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if (number := getattr(signal, name, None)) is not None
]

#: The work of a command; returns its exit code.
Work: TypeAlias = Callable[[trio.Nursery], Awaitable[int]]


def run(
    work: Work, on_signal: Callable[[], None] = lambda: None, *, stop: trio.Event | None = None
) -> int:
    """Run a command's work in a nursery and return the exit code.

    A signal cancels everything, then calls `on_signal`; the exit code is 128 + its number. With `stop`, it
    sets that instead, and the work ends by itself. A second signal ends the process at once; the embedded
    model notices and ends too.

    Raises:
        click.ClickException: the command failed.
    """
    with plain_errors():
        return trio.run(_until_signal, work, on_signal, stop)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn the library's exceptions into click's: one line, no traceback, exit code 1 or 2."""
    try:
        yield
    except ExceptionGroup as group:
        output, others = group.split(OutputFailed)
        if output is not None:
            raise _first(output) from None
        ours, rest = others.split(TrioBeamError) if others is not None else (None, None)
        if rest is not None or ours is None:
            raise  # a bug: show the traceback
        raise _plain(_first(ours)) from None
    except TrioBeamError as error:
        raise _plain(error) from None


async def _until_signal(work: Work, on_signal: Callable[[], None], stop: trio.Event | None) -> int:
    caught: list[int] = []
    codes: list[int] = []

    async def watch(task_status: trio.TaskStatus[None]) -> None:
        with trio.open_signal_receiver(*_SIGNALS) as signals:
            task_status.started()
            async for number in signals:
                if caught:
                    os._exit(128 + number)
                caught.append(number)
                if stop is not None:
                    stop.set()
                else:
                    inner.cancel_scope.cancel(reason="a signal came")

    async with trio.open_nursery() as outer:
        await outer.start(watch)
        async with trio.open_nursery() as inner:
            codes.append(await work(inner))
            inner.cancel_scope.cancel(reason="the work is done")
        outer.cancel_scope.cancel(reason="all is gone")
    if codes and (stop is None or not caught):
        return codes[0]  # the work had finished before the signal
    on_signal()
    return 128 + caught[0]


def _first(group: ExceptionGroup[E]) -> E:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error


def _plain(error: TrioBeamError) -> click.ClickException:
    if not isinstance(error, ConfigError):
        return click.ClickException(printable(str(error)))
    context = click.get_current_context(silent=True)
    words = error_in_options(error, option_names(context.command)) if context else str(error)
    return click.UsageError(printable(words))
