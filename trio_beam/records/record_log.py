"""A file that records are appended to, under a lock.

JSON lines rather than a database: a record costs one append, a crash leaves at most a torn last line, which
the next run cuts off, and people can read the file while it grows.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar

import msgspec

from trio_beam.errors import TrioBeamError
from trio_beam.records.line import from_line, is_json, to_line
from trio_beam.records.lock import try_lock

_R = TypeVar("_R", bound=msgspec.Struct)
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)


class RecordsUnusable(TrioBeamError):
    """The file cannot be made, read or written."""


class RecordsInUse(RecordsUnusable):
    """Another process writes to the file."""


class RecordLog(Generic[_R]):
    """Records in a file, none of them in memory, as a context manager that holds the file's lock.

    Args:
        path: of the file; its folders are made.
        kind: the type of the records.
        on_record: called with each record that is there when the file is opened.

    Attributes:
        damaged: lines that held no whole record when the file was opened.
    """

    def __init__(
        self, path: Path, kind: type[_R], on_record: Callable[[_R], object] = lambda _: None
    ) -> None:
        self.path = path
        self.damaged = 0
        self._kind = kind
        self._on_record = on_record
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
            self.damaged = self._open(self._on_record)
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
                self._finish()
        finally:
            os.close(self._file)
            if not self._size:
                self.path.unlink(missing_ok=True)
            self._remove_empty_folders()

    def write(self, record: _R, *, sync: bool = True) -> None:
        """Append a record. It blocks on purpose: nothing may come between a result and its record.

        Args:
            record: to be written.
            sync: whether to wait until the disk has it (milliseconds). Else it outlives this process at once,
                but the machine only after `sync`.

        Raises:
            RecordsUnusable: the disk is full or gone, or the file was replaced.
        """
        if not self._is_there():
            message = f"{self.path} was replaced or removed by another program, so this run stops"
            raise RecordsUnusable(message)
        self._write(to_line(record), sync=sync)

    def sync(self) -> None:
        """Wait until the disk has everything.

        Raises:
            RecordsUnusable: the disk is full or gone.
        """
        try:
            os.fsync(self._file)
        except OSError as error:
            raise self._unusable(error) from None

    def clear(self) -> None:
        """Remove all records."""
        os.ftruncate(self._file, 0)
        self._size, self._ended = 0, True

    def _finish(self) -> None:
        """Called before the file is closed."""
        self.sync()

    def _is_there(self) -> bool:
        """Return whether what is at the path is still the open file."""
        return _is_at(self._file, self.path)

    def _open(self, on_record: Callable[[_R], object]) -> int:
        """Open and lock the file at the path; return how many lines hold no record."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            before, self._file = self._file, self._locked()
            try:
                _sync_folder(self.path.parent)
                return self._read(on_record)
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

    def _read(self, on_record: Callable[[_R], object]) -> int:
        damaged = 0
        self._size, self._ended = 0, True
        with open(self._file, "rb", closefd=False) as file:
            file.seek(0)
            for line in file:
                record = from_line(line, self._kind)
                if record is not None:
                    on_record(record)
                else:
                    damaged += bool(line.strip())
                self._ended = line.endswith(b"\n")
                if record is None and not self._ended and not is_json(line):
                    os.ftruncate(self._file, self._size)  # as a crash leaves it: of use to nobody
                    self._ended = True
                    break
                self._size += len(line)
        return damaged

    def _write(self, line: bytes, *, sync: bool = True) -> None:
        left = memoryview(line if self._ended else b"\n" + line)
        length = len(left)
        try:
            while left:
                left = left[os.write(self._file, left) :]
            if sync:
                os.fsync(self._file)
        except OSError as error:
            # The rest of this record would tear those that other tasks still append.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise self._unusable(error) from error
        self._size += length
        self._ended = True

    def _remove_empty_folders(self) -> None:
        with contextlib.suppress(OSError):
            for folder in self._made:
                folder.rmdir()

    def _unusable(self, error: OSError) -> RecordsUnusable:
        words = error.strerror or error
        return RecordsUnusable(f"{self.path.parent} cannot be used for records: {words}")


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
