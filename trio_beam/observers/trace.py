"""Write a search to a file as it goes on: everything that is needed to draw it, and to decide it again."""

from __future__ import annotations

import logging
import os
import stat
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import trio

from trio_beam.observers.per_search import PerSearch
from trio_beam.records import RecordsInUse, RecordsUnusable, from_line, to_line
from trio_beam.records.lock import try_lock
from trio_beam.traces import format as lines
from trio_beam.traces.format import Line
from trio_beam.traces.writing import SearchLines, now

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
_logger = logging.getLogger("trio_beam")


class Trace(PerSearch[SearchLines]):
    """Observer that appends a search, event by event, to a file of JSON lines.

    Each event is in the file before the search goes on, by one write without waiting for the disk, so the
    file can be read while it grows. A file that has traces gets more; one that holds something else is
    refused. ``observers=[Trace("run.jsonl")]`` is enough; as a context manager it closes the file, and says
    there whether everything was written.

    It observes one search after the other, or those of a `search_many`. For other concurrent searches, give
    each its own `search`.

    API keys and headers are never written: events do not have them.

    Args:
        path: of the file.
        prompts: whether to write prompts; what servers say about a refused request may quote one.
        texts: whether to write texts and tokens, without which a search can be drawn, but not replayed.
        program: written in the header.
        report: told once if the trace ends before its searches do; None: the log.

    Raises:
        RecordsUnusable: the file cannot be written, or holds something else.
        RecordsInUse: another process, or another `Trace`, writes to it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        prompts: bool = True,
        texts: bool = True,
        program: str = "trio_beam",
        report: Callable[[str], object] | None = None,
    ) -> None:
        super().__init__()
        self.path = Path(path)
        #: Why the trace ends before the search does: the disk is full. A search is not given up for that; it
        #: is reported at once, and raised by `close`.
        self.error: RecordsUnusable | None = None
        self._report = report or _logger.error
        self._prompts = prompts
        self._texts = texts
        self._searches = 0
        self._file = self._opened()
        self._close = weakref.finalize(self, os.close, self._file)
        self._write([lines.Header(version=lines.VERSION, program=program, began=now())])

    def close(self) -> None:
        """Close the file.

        Raises:
            RecordsUnusable: not everything was written.
        """
        self._close()
        if self.error is not None:
            raise self.error

    def __enter__(self) -> Self:
        """Do nothing: the file is open."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._close()
        if exc is None and self.error is not None:
            raise self.error

    def _next(self, label: str) -> SearchLines:
        self._searches += 1
        return SearchLines(
            self._write,
            trio.current_time,
            self._searches,
            label,
            prompts=self._prompts,
            texts=self._texts,
        )

    def _opened(self) -> int:
        """Open the file, lock it, and begin a line of its own."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, _FLAGS, 0o644)
        except OSError as error:
            raise self._unusable(error) from None
        try:
            self._check(file)
        except OSError as error:
            os.close(file)
            raise self._unusable(error) from None
        except BaseException:
            os.close(file)
            raise
        return file

    def _check(self, file: int) -> None:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return  # a pipe or a terminal, which nobody replays
        if not try_lock(file):
            raise RecordsInUse(f"another trace is being written to {self.path}")
        size = os.fstat(file).st_size
        if not size:
            return
        with open(file, "rb", closefd=False) as there:
            there.seek(0)
            header = from_line(there.readline(), lines.Header)
            if header is None:
                message = f"{self.path} holds something else than a trace: name another file"
                raise RecordsUnusable(message)
            if header.version > lines.VERSION:
                raise RecordsUnusable(
                    f"{self.path} is a trace of version {header.version}, and this is trio_beam for version"
                    f" {lines.VERSION}: name another file"
                )
            there.seek(size - 1)
            if there.read(1) != b"\n":
                os.write(file, b"\n")  # a crash tore the last line

    def _write(self, written: Sequence[Line]) -> None:
        if self.error is not None or not self._close.alive:
            return
        left = memoryview(b"".join(map(to_line, written)))
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError as error:
            self.error = self._unusable(error)
            self._report(f"the trace ends here, the search goes on: {self.error}")

    def _unusable(self, error: OSError) -> RecordsUnusable:
        return RecordsUnusable(f"cannot write the trace {self.path}: {error.strerror or error}")
