"""Where a report comes from: when, by which version and command, and on what machine."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import shlex
from collections.abc import Iterable, Iterator

import attrs

import trio_beam

#: A key whose value is secret, and the end of the part of a word that is not.
_SECRET_KEY = re.compile(r"\+*model\.headers\b[^=]*=")
_HEADER_OPTION = "--header"
_HIDDEN = "***"


@attrs.frozen(kw_only=True)
class Origin:
    """The origin of a report.

    Attributes:
        date: when it was written, in UTC, to the minute.
        version: of this library.
        command: as a shell takes it, with "***" in place of secrets; "" if it was no command.
        machine: its system, processors and Python.
    """

    date: str
    version: str
    command: str
    machine: str

    @classmethod
    def of(cls, command: str) -> Origin:
        """Describe this moment and this machine."""
        cores = os.cpu_count() or 1
        return cls(
            date=f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC",
            version=f"trio_beam {trio_beam.__version__}",
            command=command,
            machine=(
                f"{platform.system()} {platform.release()} ({platform.machine()}),"
                f" {cores} core{'' if cores == 1 else 's'}, Python {platform.python_version()}"
            ),
        )


def as_command(program: str, words: Iterable[str]) -> str:
    """Write a command as a shell takes it, without the values of headers and what a URL may hide."""
    return shlex.join([program, *_without_secrets(words)])


def _without_secrets(words: Iterable[str]) -> Iterator[str]:
    is_header = False
    for word in words:
        if is_header:
            yield f"{word.partition(':')[0]}: {_HIDDEN}"
        elif match := _SECRET_KEY.match(word):
            yield f"{match[0]}{_HIDDEN}"
        elif word.startswith(f"{_HEADER_OPTION}="):
            yield f"{word.partition(':')[0]}: {_HIDDEN}"
        else:
            hidden = re.sub(r"://[^/@\s]*@", f"://{_HIDDEN}@", word)
            yield re.sub(r"(://[^?\s]*\?).*", rf"\1{_HIDDEN}", hidden, flags=re.DOTALL)
        is_header = word == _HEADER_OPTION
