"""Store a run's records on disk as JSON lines, appended and synced one by one, under a lock.

JSON lines rather than a database: a record costs one append and one sync, a crash leaves at most a torn
last line, and people can read the file while it grows.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import filelock

from trio_beam.benchmark.records import Key, Record, from_line, to_line
from trio_beam.errors import TrioBeamError


class FolderInUse(TrioBeamError):
    """Another run writes to the same folder."""


class Store:
    """The records in a folder, as a context manager that holds the folder's lock.

    The operating system releases the lock when the process ends, for whatever reason. Of several records with
    the same key the last one counts.

    Attributes:
        damaged: number of torn lines found when the folder was opened. Their problems are repeated.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "records.jsonl"
        self.damaged = 0
        self._records: dict[Key, Record] = {}
        self._lock = filelock.FileLock(folder / "run.lock", is_singleton=False)
        self._file = -1

    def __enter__(self) -> Self:
        """Lock the folder and read its records.

        Raises:
            FolderInUse: another run holds the lock.
            TrioBeamError: the folder cannot be created, read or written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            raise FolderInUse(
                f"another run is using {self.folder}: wait for its end, or name another folder by output.dir"
            ) from None
        except OSError as error:
            raise _unusable(self.folder, error) from None
        try:
            self._open()
        except OSError as error:
            self._lock.release()
            raise _unusable(self.folder, error) from None
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file and release the lock."""
        os.close(self._file)
        self._lock.release()

    def get(self, key: Key) -> Record | None:
        """Return the record with this key, if any."""
        return self._records.get(key)

    def __iter__(self) -> Iterator[Record]:
        """Iterate over all records, in the order first written."""
        return iter(self._records.values())

    def __len__(self) -> int:
        """Return the number of keys with a record."""
        return len(self._records)

    def append(self, record: Record) -> None:
        """Write a record and wait until it is on disk (milliseconds).

        Blocks on purpose: nothing may come between a result and its record, and an answer takes far longer.

        Raises:
            TrioBeamError: the disk is full or gone.
        """
        line = memoryview(to_line(record))
        whole = os.fstat(self._file).st_size
        try:
            while line:
                line = line[os.write(self._file, line) :]
            os.fsync(self._file)
        except OSError as error:
            # A partial record would tear those that other tasks append later.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, whole)
            raise _unusable(self.folder, error) from error
        self._records[record.key] = record

    def _open(self) -> None:
        new = not self.path.exists()
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            if new:
                _sync_folder(self.folder)
            self._read()
        except OSError:
            os.close(self._file)
            raise

    def _read(self) -> None:
        whole = 0
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    self.damaged += 1
                    break
                whole += len(line)
                record = from_line(line[:-1])
                if record is None:
                    self.damaged += 1
                else:
                    self._records[record.key] = record
        # The next record must start on a new line.
        os.ftruncate(self._file, whole)


def read_records(path: Path) -> list[Record]:
    """Read the last record of each key in a file, without a lock and without changing it."""
    found: dict[Key, Record] = {}
    for line in path.read_bytes().split(b"\n"):
        if (record := from_line(line)) is not None:
            found[record.key] = record
    return list(found.values())


def _sync_folder(folder: Path) -> None:
    """Sync the directory entry of a new file; some systems cannot and need not."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unusable(folder: Path, error: OSError) -> TrioBeamError:
    return TrioBeamError(f"{folder} cannot be used for records: {error.strerror or error}")
