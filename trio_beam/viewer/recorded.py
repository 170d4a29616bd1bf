"""The searches of a trace for the page, read as a stream.

A search that has ended is kept as the JSON that the page gets, and so is not held twice.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import attrs

from trio_beam.traces.format import Header, Line, SearchBegan
from trio_beam.traces.reader import TraceFile
from trio_beam.viewer.searches import Plain, SearchView

#: Most that a page embeds, in bytes, unless more is asked for.
MAX_EMBEDDED = 32_000_000


@attrs.define(eq=False)
class Shown:
    """A search on the page.

    Attributes:
        summary: what the list shows.
        encoded: all of it, as JSON; None if it was left out.
    """

    summary: Plain
    encoded: bytes | None


class RecordedSearches:
    """The searches of a trace, as far as it has been written.

    Args:
        path: of the trace.
        only: number of the only search to show; None: all.
        limit: of the JSON of all searches together, in bytes. What does not fit is left out, and said to be.

    Raises:
        TraceUnreadable: it is no trace, of a later version, or cannot be read.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, only: int | None = None, limit: int = MAX_EMBEDDED
    ) -> None:
        self.name = Path(path).name
        self._file = TraceFile(path)
        self._only = only
        self._left = limit
        self._count = 0
        self._damaged = 0
        #: Those of the last header that have not ended, by their number in the trace; `_running` by ours.
        self._open: dict[int, SearchView] = {}
        self._running: dict[int, SearchView] = {}
        self._ended: dict[int, Shown] = {}
        self.read()

    @property
    def count(self) -> int:
        """Number of searches that have begun, shown or not."""
        return self._count

    def read(self) -> bool:
        """Read what has been written since the last time; return whether there was anything.

        Raises:
            TraceUnreadable: it cannot be read any more.
        """
        before = self._file.size, self._file.torn
        for line in self._file.read():
            if line is None:
                self._note_damage()
            else:
                self._add(line)
        return (self._file.size, self._file.torn) != before

    def about(self) -> Plain:
        """Return what the page says of the file."""
        return {"name": self.name, "torn": self._file.torn, "damaged": self._damaged}

    def shown(self) -> list[Shown]:
        """Return the searches, in the order in which they began."""
        running = {
            number: Shown(view.summary(), view.encoded(max(self._left, 0)))
            for number, view in self._running.items()
        }
        found = self._ended | running
        return [found[number] for number in sorted(found)]

    def _add(self, line: Line) -> None:
        if isinstance(line, Header):
            self._open = {}
        elif isinstance(line, SearchBegan):
            self._count += 1
            if self._only in (None, self._count):
                view = SearchView(self._count, line)
                self._open[line.search] = self._running[self._count] = view
        elif (known := self._open.get(line.search)) is not None:
            known.add(line)
            if known.end is not None:
                self._settle(line.search, known)

    def _settle(self, search: int, view: SearchView) -> None:
        """Keep a search that has ended as its JSON."""
        del self._open[search], self._running[view.number]
        encoded = view.encoded(self._left)
        self._left -= len(encoded or b"")
        self._ended[view.number] = Shown(view.summary(), encoded)

    def _note_damage(self) -> None:
        self._damaged += 1
        for view in self._open.values():
            view.damaged = True


def page_data(sources: list[RecordedSearches], **more: Any) -> tuple[Plain, list[Shown]]:
    """Return what the page is told of all sources, and the searches, in the order of its list."""
    shown = [(place, one) for place, source in enumerate(sources) for one in source.shown()]
    about = {
        "sources": [source.about() for source in sources],
        "searches": [
            {**one.summary, "source": place, "left_out": one.encoded is None}
            for place, one in shown
        ],
        **more,
    }
    return about, [one for _, one in shown]
