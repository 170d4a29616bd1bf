"""The one way out for text: standard output has the result, standard error everything else.

A pipe without a reader ends the command quietly, a device that is full with one line and exit code 1. What
the encoding lacks is printed as backslash escapes, and nothing of others moves the cursor of a terminal.
Messages are not worth a result: where standard error fails, they are dropped.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from trio_beam.core.printable import printable

T = TypeVar("T")
#: As if the signal had ended the process; where there is no such signal, nothing was wrong.
_NO_READER = 128 + signal.SIGPIPE if hasattr(signal, "SIGPIPE") else 0


class OutputFailed(Exception):
    """Standard output takes no more.

    Attributes:
        message: a line for standard error; "" if there is nothing to say.
        exit_code: of the command.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


def guarded(command: Callable[[], T]) -> T | int:
    """Run a command, whatever it writes with, and return what it returns, or the exit code."""
    streams = sys.stdout, sys.stderr
    try:
        if sys.stdout is None:
            raise OutputFailed("standard output is closed")
        sys.stdout, sys.stderr = _guard(sys.stdout), _guard(sys.stderr, dropped=True)
        code = command()
        sys.stdout.flush()
    except OutputFailed as error:
        if error.message:
            say(f"Error: {error.message}")
        return error.exit_code
    else:
        return code
    finally:
        sys.stdout, sys.stderr = streams


def write(text: str) -> None:
    """Write a text and the end of its line on standard output.

    Raises:
        OutputFailed: within `guarded`.
    """
    if sys.stdout.isatty():
        text = printable(text, keep="\n\t")
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def write_json(value: object) -> None:
    """Write a value on standard output as JSON, which it is in any encoding.

    Raises:
        OutputFailed: within `guarded`.
    """
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    try:
        text.encode(sys.stdout.encoding or "ascii")
        plain = printable(text, keep="\n") == text
    except UnicodeEncodeError:
        plain = False
    sys.stdout.write(text if plain else re.sub("[^\n -~]", _json_escape, text))
    sys.stdout.write("\n")
    sys.stdout.flush()


def say(line: str) -> None:
    """Write one line on standard error, if there is one; ends of lines in it are escaped."""
    if sys.stderr is not None:
        sys.stderr.write(f"{printable(line)}\n")
        sys.stderr.flush()


def format_duration(seconds: float) -> str:
    """Format seconds for reading: 40 s, 3 min, 2 h 05 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _guard(stream: Any, *, dropped: bool = False) -> Any:
    return None if stream is None else _Guarded(stream, dropped=dropped)


def _json_escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


class _Guarded:
    """A standard stream; only its failures are other ones."""

    def __init__(self, stream: Any, *, dropped: bool = False) -> None:
        self._stream = stream
        self._dropped = dropped
        self._failed: OutputFailed | None = None
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        self._do(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._do(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _do(self, work: Callable[[], object]) -> None:
        try:
            work()
        except OSError as error:
            # What is in its buffer would fail once more at the end of the process.
            with suppress(OSError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self._stream.fileno())
                os.close(null)
            if isinstance(error, BrokenPipeError):
                self._failed = OutputFailed("", _NO_READER)
            else:
                self._failed = OutputFailed(f"cannot write to standard output: {error.strerror}")
        if self._failed is not None and not self._dropped:  # also if a library has ignored it
            raise self._failed from None
