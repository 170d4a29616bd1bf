"""``--trace`` and ``--log-level``, for every command that searches."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from trio_beam.command.help import Choice, option
from trio_beam.command.output import say
from trio_beam.core.printable import printable
from trio_beam.errors import ConfigError, TrioBeamError
from trio_beam.observers import Log, Observer, Trace

F = TypeVar("F", bound=Callable[..., Any])
_PARTS = ("prompts", "texts")
_LEVELS = ("debug", "info", "warning", "error")
_TRACE = "Append all that happens in each search to FILE, as JSON lines."
_WITHOUT = "Leave prompts, or texts and tokens, out of the trace; may be given twice."
_LOG_LEVEL = "Print log lines of this level or above on standard error."


def observing_options(function: F) -> F:
    """Decorate a command with the options."""
    for decorate in (
        option("output", "--log-level", type=Choice(_LEVELS), help=_LOG_LEVEL),
        option("output", "--trace-without", type=Choice(_PARTS), multiple=True, help=_WITHOUT),
        option("output", "--trace", type=Path, metavar="FILE", help=_TRACE),
    ):
        function = decorate(function)
    return function


def add_observing_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options to a parser of `argparse`."""
    add = parser.add_argument
    add("--trace", type=Path, metavar="FILE", help=_sentence(_TRACE))
    add(
        "--trace-without",
        choices=_PARTS,
        action="append",
        default=[],
        help=_sentence(_WITHOUT),
    )
    add("--log-level", choices=_LEVELS, help=_sentence(_LOG_LEVEL))


def open_trace(path: Path | None, without: Sequence[str], version: str) -> Trace | None:
    """Open the trace that was asked for, if one was.

    Raises:
        RecordsUnusable: it cannot be written.
        ConfigError: something is to be left out of a trace that was not asked for.
    """
    if path is None:
        if without:
            raise ConfigError("trace_without", "given with --trace FILE", "alone")
        return None
    return Trace(
        path,
        prompts="prompts" not in without,
        texts="texts" not in without,
        program=f"trio_beam {version}",
        report=say,
    )


def close_trace(trace: Trace | None) -> int:
    """Close a trace; return 1 if not everything was written to it, which has been said, else 0."""
    if trace is None:
        return 0
    with suppress(TrioBeamError):
        trace.close()
    return int(trace.error is not None)


def open_log(level: str | None) -> Log | None:
    """Print log records on standard error, and return the observer that writes them, if asked for."""
    if level is None:
        return None
    logger = logging.getLogger("trio_beam")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(message)s"))
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
    return Log(logger)


def observers_of_search(trace: Trace | None, log: Log | None, label: str) -> list[Observer]:
    """Return the observers of one of many searches.

    Args:
        trace: as it was opened.
        log: as it was opened.
        label: written in the trace, and in each line of the log.
    """
    traced = [] if trace is None else [trace.search(label)]
    return traced if log is None else [*traced, log.search(label)]


class _OneLine(logging.Formatter):
    """Escapes what a terminal would obey, or what would begin another line."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # its own name
        return printable(super().formatMessage(record))


def _sentence(words: str) -> str:
    """A help text in the style of the other ones there."""
    return words[0].lower() + words[1:].rstrip(".")
