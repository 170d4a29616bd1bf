"""Read a trace, also while it grows.

A line that was torn by a crash, or that is still being written, is at the end; a damaged one stands before
others. Neither is taken for a whole one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar, cast

import attrs

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
    """What a file holds so far.

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
    first = True
    for line, whole in _lines(Path(path)):
        if first:
            _check_header(path, line)
        elif isinstance(line, Header):
            _check_version(path, line)
        first = False
        if line is not None:
            trace.add(line)
        elif whole:
            trace.note_damage()
        else:
            trace.torn = True
    if first:
        raise TraceUnreadable(f"{path} is empty: no trace has been written to it")
    return trace


def _lines(path: Path) -> Iterator[tuple[Line | None, bool]]:
    """Yield each line, None if it is not a whole record, and whether it has its end."""
    try:
        with path.open("rb") as file:
            for raw in file:
                if raw.strip():
                    yield from_line(raw, cast("type[Line]", AnyLine)), raw.endswith(b"\n")
    except OSError as error:
        raise TraceUnreadable(f"cannot read {path}: {error.strerror}") from None


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
