"""The searches of a trace for the page, read as a stream.

A search that has ended is kept as the JSON that the page gets, and so is not held twice.
"""

from __future__ import annotations

import os
from pathlib import Path

from trio_beam.traces.format import Header, Line, SearchBegan
from trio_beam.traces.reader import TraceFile
from trio_beam.viewer.plain import Plain
from trio_beam.viewer.searches import SearchView
from trio_beam.viewer.shown import Shown

#: Most that a page embeds, in bytes, unless more is asked for.
MAX_EMBEDDED = 32_000_000


class RecordedSearches:
    """The searches of a trace, as far as it has been written.

    Args:
        path: of the trace.
        only: number of the only search to show; None: all.
        limit: of the JSON of all searches together, in bytes. What does not fit is left out, and said to be.

    Attributes:
        name: of the file.
        count: number of searches that have begun, shown or not.

    Raises:
        TraceUnreadable: it is no trace, of a later version, or cannot be read.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, only: int | None = None, limit: int = MAX_EMBEDDED
    ) -> None:
        self.name = Path(path).name
        self.count = 0
        self._file = TraceFile(path)
        self._only = only
        self._left = limit
        self._damaged = 0
        #: Those of the last header that have not ended, by their number in the trace; `_running` by ours.
        self._open: dict[int, SearchView] = {}
        self._running: dict[int, SearchView] = {}
        self._ended: dict[int, Shown] = {}
        self.read()

    @property
    def version(self) -> str:
        """Changes with what is shown."""
        return self._file.version

    def read(self) -> None:
        """Read what has been written since the last time.

        Raises:
            TraceUnreadable: it cannot be read any more.
        """
        for line in self._file.read():
            if line is None:
                self._note_damage()
            else:
                self._add(line)

    def about(self) -> Plain:
        """Return what the page says of the file."""
        return {"name": self.name, "torn": self._file.torn, "damaged": self._damaged}

    def shown(self) -> list[Shown]:
        """Return the searches, in the order in which they began."""
        running = {
            number: Shown.of_running(view, max(self._left, 0))
            for number, view in self._running.items()
        }
        found = self._ended | running
        return [found[number] for number in sorted(found)]

    def _add(self, line: Line) -> None:
        if isinstance(line, Header):
            self._open = {}
        elif isinstance(line, SearchBegan):
            self.count += 1
            if self._only in (None, self.count):
                view = SearchView(self.count, line)
                self._open[line.search] = self._running[self.count] = view
        elif (known := self._open.get(line.search)) is not None:
            known.add(line)
            if known.end is not None:
                del self._open[line.search], self._running[known.number]
                self._ended[known.number] = ended = Shown.of_ended(known, self._left)
                self._left -= ended.size

    def _note_damage(self) -> None:
        self._damaged += 1
        for view in self._open.values():
            view.damaged = True
