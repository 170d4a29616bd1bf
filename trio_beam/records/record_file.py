"""A file of records: appended and synced one by one, under a lock, read again when it is opened.

JSON lines rather than a database: a record costs one append and one sync, a crash leaves at most a torn
last line, and people can read the file while it grows.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Hashable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar

import msgspec

from trio_beam.errors import TrioBeamError
from trio_beam.records.line import from_line, is_json, to_line
from trio_beam.records.lock import try_lock

_K = TypeVar("_K", bound=Hashable)
_R = TypeVar("_R", bound=msgspec.Struct)
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)


class RecordsUnusable(TrioBeamError):
    """The file cannot be made, read or written."""


class RecordsInUse(RecordsUnusable):
    """Another process writes to the file."""


class RecordFile(Generic[_K, _R]):
    """The records of a file, as a context manager that holds the file's lock.

    Of several records with the same key the last one counts. What is in memory is what a later run will
    read. A file that is replaced, shortened or removed meanwhile (by an editor, ``sed -i`` or ``rm``) is
    noticed at the next record or at the end, and all records that its successor lacks are written to that.

    Args:
        path: of the file; its folders are made.
        kind: the type of the records.
        key: what a record is found by.
        notice: called with a line for the user when the file was replaced.

    Attributes:
        damaged: lines that held no whole record when the file was opened.
    """

    def __init__(
        self,
        path: Path,
        kind: type[_R],
        key: Callable[[_R], _K],
        *,
        notice: Callable[[str], object] = str,
    ) -> None:
        self.path = path
        self.damaged = 0
        self._kind = kind
        self._key = key
        self._notice = notice
        self._records: dict[_K, _R] = {}
        self._file = -1
        self._size = 0
        #: Whether the last line has its end; the next record must begin on a line of its own.
        self._ended = True
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        """Open the file, lock it and read its records.

        Raises:
            RecordsInUse: another process holds it.
            RecordsUnusable: it cannot be made, read or written.
        """
        folders = [self.path.parent, *self.path.parent.parents]
        self._made = [folder for folder in folders if not folder.exists()]
        try:
            self._records, self.damaged = self._open()
        except BaseException:
            self._remove_empty_folders()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file, and remove it with the folders made for it if it has remained empty."""
        try:
            with contextlib.suppress(*[RecordsUnusable] if exc else []):
                self._follow()
        finally:
            os.close(self._file)
            if not self._size:
                self.path.unlink(missing_ok=True)
            self._remove_empty_folders()

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

        It blocks on purpose: nothing may come between a result and its record, and a result takes far
        longer.

        Raises:
            RecordsUnusable: the disk is full or gone.
        """
        self._follow()
        line = to_line(record)
        self._write(line)
        written = from_line(line, self._kind)
        assert written is not None
        self._records[self._key(written)] = written
        return written

    def _open(self) -> tuple[dict[_K, _R], int]:
        """Open and lock the file at the path; return its records, and how many lines hold none."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            before, self._file = self._file, self._locked()
            try:
                _sync_folder(self.path.parent)
                return self._read()
            except BaseException:
                os.close(self._file)
                self._file = before
                raise
        except OSError as error:
            raise self._unusable(error) from None

    def _locked(self) -> int:
        """Open the file, lock it, and return its descriptor."""
        while True:
            file = os.open(self.path, _FLAGS, 0o644)
            try:
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    raise RecordsUnusable(f"{self.path} cannot be used for records: it is no file")
                if not try_lock(file):
                    raise RecordsInUse(f"another run is using {self.path}")
                if _is_at(file, self.path):
                    return file
            except BaseException:
                os.close(file)
                raise
            os.close(file)  # it was replaced between the two

    def _read(self) -> tuple[dict[_K, _R], int]:
        found: dict[_K, _R] = {}
        damaged = 0
        self._size, self._ended = 0, True
        with open(self._file, "rb", closefd=False) as file:
            file.seek(0)
            for line in file:
                record = from_line(line, self._kind)
                if record is not None:
                    found[self._key(record)] = record
                else:
                    damaged += bool(line.strip())
                self._ended = line.endswith(b"\n")
                if record is None and not self._ended and not is_json(line):
                    os.ftruncate(self._file, self._size)  # as a crash leaves it: of use to nobody
                    self._ended = True
                    break
                self._size += len(line)
        return found, damaged

    def _write(self, line: bytes) -> None:
        left = memoryview(line if self._ended else b"\n" + line)
        length = len(left)
        try:
            while left:
                left = left[os.write(self._file, left) :]
            os.fsync(self._file)
        except OSError as error:
            # The rest of this record would tear those that other tasks still append.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise self._unusable(error) from error
        self._size += length
        self._ended = True

    def _follow(self) -> None:
        """See to it that what is at the path is our file, and has all records."""
        same = _is_at(self._file, self.path)
        if same and os.fstat(self._file).st_size == self._size:
            return
        old = self._file
        try:
            there, _ = self._read() if same else self._open()
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
        there, _ = self._open()
        os.close(old)
        self._write_missing(there)
        return RecordsInUse(
            f"another run has begun in the place of {taken}, so this one stops: its records are in"
            f" {self.path}, and can be appended to the other file when that run has ended"
        )

    def _remove_empty_folders(self) -> None:
        with contextlib.suppress(OSError):
            for folder in self._made:
                folder.rmdir()

    def _unusable(self, error: OSError) -> RecordsUnusable:
        words = error.strerror or error
        return RecordsUnusable(f"{self.path.parent} cannot be used for records: {words}")


def read_records(path: Path, kind: type[_R], key: Callable[[_R], _K]) -> list[_R]:
    """Read the records in a file, the last of each key; takes no lock and changes nothing."""
    found: dict[_K, _R] = {}
    with path.open("rb") as file:
        for line in file:
            if (record := from_line(line, kind)) is not None:
                found[key(record)] = record
    return list(found.values())


def _is_at(file: int, path: Path) -> bool:
    """Whether the file at a path is the one that is open."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except OSError:
        return False


def _sync_folder(folder: Path) -> None:
    """Sync the entry of a new file to disk; some systems cannot, and need not."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
