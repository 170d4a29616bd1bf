"""Running a command: signals, exit codes, and errors in plain words."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias, TypeVar

import click
import trio

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


def run(work: Work, on_signal: Callable[[], None] = lambda: None) -> int:
    """Run the work of a command in a nursery of its own and return the exit code.

    A signal cancels everything, calls `on_signal` once all is gone, and gives 128 + its number. A second
    one ends the process at once; the embedded model notices and ends too.

    Raises:
        click.ClickException: what went wrong, in plain words.
    """
    with plain_errors():
        return trio.run(_until_signal, work, on_signal)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn exceptions of the library into click's: one line, no traceback, exit code 1 or 2."""
    try:
        yield
    except ExceptionGroup as group:
        output, others = group.split(OutputFailed)
        if output is not None:
            raise _first(output) from None
        ours, rest = others.split(TrioBeamError) if others is not None else (None, None)
        if rest is not None or ours is None:
            raise  # a fault of this program: the whole story
        raise _plain(_first(ours)) from None
    except TrioBeamError as error:
        raise _plain(error) from None


async def _until_signal(work: Work, on_signal: Callable[[], None]) -> int:
    caught: list[int] = []
    codes: list[int] = []

    async def watch(task_status: trio.TaskStatus[None]) -> None:
        with trio.open_signal_receiver(*_SIGNALS) as signals:
            task_status.started()
            async for number in signals:
                if caught:
                    os._exit(128 + number)
                caught.append(number)
                inner.cancel_scope.cancel(reason="a signal came")

    async with trio.open_nursery() as outer:
        await outer.start(watch)
        async with trio.open_nursery() as inner:
            codes.append(await work(inner))
            inner.cancel_scope.cancel(reason="the work is done")
        outer.cancel_scope.cancel(reason="all is gone")
    if codes:
        return codes[0]  # the work was done when the signal came
    on_signal()
    return 128 + caught[0]


def _first(group: ExceptionGroup[E]) -> E:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error


def _plain(error: TrioBeamError) -> click.ClickException:
    kind = click.UsageError if isinstance(error, ConfigError) else click.ClickException
    return kind(printable(str(error)))
