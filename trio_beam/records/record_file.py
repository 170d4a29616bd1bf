"""A file of records that are found by a key, all of them in memory too."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator, Mapping
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from trio_beam.records.line import from_line, to_line
from trio_beam.records.record_log import RecordLog, RecordsInUse

_K = TypeVar("_K", bound=Hashable)
_R = TypeVar("_R", bound=msgspec.Struct)


class RecordFile(RecordLog[_R], Generic[_K, _R]):
    """The records of a file, as a context manager that holds the file's lock.

    Of several records with the same key the last one counts. What is in memory is what a later run will
    read. A file that is replaced, shortened or removed meanwhile (by an editor, ``sed -i`` or ``rm``) is
    noticed at the next record or at the end, and all records that its successor lacks are written to that.

    Args:
        path: of the file; its folders are made.
        kind: the type of the records.
        key: what a record is found by.
        notice: called with a line for the user when the file was replaced.
    """

    def __init__(
        self,
        path: Path,
        kind: type[_R],
        key: Callable[[_R], _K],
        *,
        notice: Callable[[str], object] = str,
    ) -> None:
        self._key = key
        self._notice = notice
        self._records: dict[_K, _R] = {}
        super().__init__(path, kind, self._keep)

    def get(self, key: _K) -> _R | None:
        """Return the record with that key, if there is one."""
        return self._records.get(key)

    def __iter__(self) -> Iterator[_R]:
        """Iterate over all records, in the order of their first writing."""
        return iter(self._records.values())

    def __len__(self) -> int:
        """Count the keys that have a record."""
        return len(self._records)

    def append(self, record: _R) -> _R:
        """Write a record, wait until the disk has it (milliseconds), and return it as it was written.

        Raises:
            RecordsUnusable: the disk is full or gone.
        """
        self._follow()
        line = to_line(record)
        self._write(line)
        written = from_line(line, self._kind)
        assert written is not None
        self._keep(written)
        return written

    def _keep(self, record: _R) -> None:
        self._records[self._key(record)] = record

    def _finish(self) -> None:
        self._follow()

    def _follow(self) -> None:
        """See to it that what is at the path is our file, and has all records."""
        same = self._is_there()
        if same and os.fstat(self._file).st_size == self._size:
            return
        old = self._file
        there: dict[_K, _R] = {}

        def note(record: _R) -> None:
            there[self._key(record)] = record

        try:
            if same:
                self._read(note)
            else:
                self._open(note)
        except RecordsInUse:
            raise self._moved_aside() from None
        if not same:
            os.close(old)
        lacking = self._write_missing(there)
        self._records = there | self._records
        if lacking:
            self._notice(
                f"{self.path} was changed, replaced or removed by another program: the {lacking} records"
                " that it lacked are written to it again"
            )

    def _write_missing(self, there: Mapping[_K, _R]) -> int:
        """Write the records that differ from those in the file, or are not there; return their number."""
        lacking = [one for key, one in self._records.items() if there.get(key) != one]
        for record in lacking:
            self._write(to_line(record))
        return len(lacking)

    def _moved_aside(self) -> RecordsInUse:
        """Go on in another file; return the error that says so."""
        taken, old = self.path, self._file
        self.path = taken.with_name(f"{taken.stem}-{os.getpid()}{taken.suffix}")
        there: dict[_K, _R] = {}

        def note(record: _R) -> None:
            there[self._key(record)] = record

        self._open(note)
        os.close(old)
        self._write_missing(there)
        return RecordsInUse(
            f"another run has begun in the place of {taken}, so this one stops: its records are in"
            f" {self.path}, and can be appended to the other file when that run has ended"
        )


def read_records(path: Path, kind: type[_R], key: Callable[[_R], _K]) -> list[_R]:
    """Read the records in a file, the last of each key; takes no lock and changes nothing."""
    found: dict[_K, _R] = {}
    with path.open("rb") as file:
        for line in file:
            if (record := from_line(line, kind)) is not None:
                found[key(record)] = record
    return list(found.values())
