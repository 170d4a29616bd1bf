"""The records of a run on disk."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Self

from trio_beam import records
from trio_beam.benchmark.records import Key, Record
from trio_beam.records import RecordFile, RecordsInUse

_NAME = "records.jsonl"
_KEY = attrgetter("key")


class FolderInUse(RecordsInUse):
    """Another run writes to the same folder."""


class Store(RecordFile[Key, Record]):
    """The records in a folder, as a context manager that holds its file's lock.

    Attributes:
        folder: of the run.
    """

    def __init__(self, folder: Path, notice: Callable[[str], object] = str) -> None:
        super().__init__(folder / _NAME, Record, _KEY, notice=notice)
        self.folder = folder

    def __enter__(self) -> Self:
        """Lock the file and read its records.

        Raises:
            FolderInUse: another run holds it.
            RecordsUnusable: the folder cannot be made, read or written.
        """
        try:
            return super().__enter__()
        except RecordsInUse:
            raise FolderInUse(
                f"another run is using {self.folder}: wait for its end, or name another folder by output.dir"
            ) from None


def read_records(folder: Path) -> list[Record]:
    """Read the records in a folder; takes no lock and changes nothing."""
    path = folder / _NAME
    return records.read_records(path, Record, _KEY) if path.exists() else []
