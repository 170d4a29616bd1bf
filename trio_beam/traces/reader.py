"""Read a trace, also while it grows.

A line that was torn by a crash, or that is still being written, is at the end; a damaged one stands before
others. Neither is taken for a whole one.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar, cast, get_args

import attrs
import msgspec

from trio_beam.errors import TraceUnreadable
from trio_beam.records import from_line
from trio_beam.traces.format import VERSION, AnyLine, Finished, Header, Line, SearchBegan, Stopped

T = TypeVar("T", bound=Line)


@attrs.define(eq=False)
class RecordedSearch:
    """The lines of one search.

    Attributes:
        number: of the search in the file, from 1.
        began: its first line.
        lines: all others so far, in order.
        damaged: whether a damaged line may have been one of its own.
    """

    number: int
    began: SearchBegan
    lines: list[Line] = attrs.field(factory=list)
    damaged: bool = False

    def of(self, kind: type[T]) -> list[T]:
        """Return the lines of a kind."""
        return [line for line in self.lines if isinstance(line, kind)]

    @property
    def end(self) -> Finished | Stopped | None:
        """The last line; None if the search still runs, or its process was killed."""
        last = self.lines[-1] if self.lines else None
        return last if isinstance(last, (Finished, Stopped)) else None


@attrs.define(eq=False)
class RecordedTrace:
    """The content of a file so far.

    Attributes:
        searches: in the order in which they began.
        damaged: number of lines before the last that hold no whole record.
        torn: whether the last line is not whole: it is still being written, or a crash tore it.
    """

    searches: list[RecordedSearch] = attrs.field(factory=list)
    damaged: int = 0
    torn: bool = False
    _open: dict[int, RecordedSearch] = attrs.field(factory=dict)

    def add(self, line: Line) -> None:
        """Add the next line."""
        if isinstance(line, Header):
            self._open = {}
        elif isinstance(line, SearchBegan):
            found = RecordedSearch(len(self.searches) + 1, line)
            self.searches.append(found)
            self._open[line.search] = found
        elif line.search in self._open:
            self._open[line.search].lines.append(line)

    def note_damage(self) -> None:
        """Note that a line is damaged, which may be of any search that has begun."""
        self.damaged += 1
        for search in self._open.values():
            search.damaged = search.damaged or search.end is None


def read_trace(path: str | os.PathLike[str]) -> RecordedTrace:
    """Read a trace.

    Raises:
        TraceUnreadable: it is no trace, of a later version, or cannot be read.
    """
    trace = RecordedTrace()
    file = TraceFile(path)
    for line in file.read():
        if line is not None:
            trace.add(line)
        else:
            trace.note_damage()
    trace.torn = file.torn
    return trace


class TraceFile:
    """A file with a trace, read line by line, and again when it has grown.

    Attributes:
        torn: whether the last line was not whole when it was last read.
        size: of what was read, in bytes.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.torn = False
        self.size = 0
        self._path = Path(path)
        self._first = b""

    @property
    def version(self) -> str:
        """Changes with what was read."""
        return f"{zlib.crc32(self._first):08x} {self.size} {self.torn}"

    def read(self) -> Iterator[Line | None]:
        """Yield each line that has been written since the last call; None for one that is damaged.

        Raises:
            TraceUnreadable: it is no trace, of a later version, was replaced, or cannot be read.
        """
        try:
            with self._path.open("rb") as file:
                # Its first line has the time at which it began: no other trace has the same.
                replaced = file.read(len(self._first)) != self._first
                if replaced or os.fstat(file.fileno()).st_size < self.size:
                    raise TraceUnreadable(f"{self._path} was cut or replaced while it was read")
                file.seek(self.size)
                for raw in file:
                    line = from_line(raw, cast("type[Line]", AnyLine)) if raw.strip() else None
                    passed_over = not raw.strip() or (line is None and _is_of_new_kind(raw))
                    self.torn = line is None and not passed_over and not raw.endswith(b"\n")
                    if not self.size:
                        _check_header(self._path, line)
                        self._first = raw
                    if self.torn:
                        break
                    self.size += len(raw)
                    if isinstance(line, Header):
                        _check_version(self._path, line)
                    if not passed_over:
                        yield line
        except OSError as error:
            raise TraceUnreadable(f"cannot read {self._path}: {error.strerror}") from None
        if not self.size:
            raise TraceUnreadable(f"{self._path} is empty: no trace has been written to it")


class _Other(msgspec.Struct):
    """A line of any kind."""

    kind: str


_KINDS = {one.__struct_config__.tag for one in get_args(AnyLine)}


def _is_of_new_kind(raw: bytes) -> bool:
    """Return whether a line is whole, but of a kind that only a later program knows."""
    other = from_line(raw, _Other)
    return other is not None and other.kind not in _KINDS


def _check_header(path: object, line: Line | None) -> None:
    if not isinstance(line, Header):
        raise TraceUnreadable(f"{path} is no trace: its first line is not the header of one")
    _check_version(path, line)


def _check_version(path: object, header: Header) -> None:
    if header.version > VERSION:
        raise TraceUnreadable(
            f"{path} is a trace of version {header.version} (by {header.program}), and this is"
            f" trio_beam for version {VERSION}: use a newer one"
        )
