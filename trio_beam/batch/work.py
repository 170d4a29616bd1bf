"""The prompts that are left to search, in a temporary database on disk: memory does not grow with them.

The prompts are read once, before anything is sent: a fault in the last line shows at once, their number is
known, they may be shuffled, and a file that changes while the run goes on changes nothing.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from trio_beam.batch.prompts import BadPrompts, PromptRecord
from trio_beam.core.seeds import base_seed
from trio_beam.errors import TrioBeamError
from trio_beam.records import RecordLog, RecordsInUse

_TABLE = """
CREATE TABLE prompts (
    number INTEGER PRIMARY KEY, id TEXT UNIQUE, digest TEXT, body BLOB, place INTEGER, done INTEGER
)
"""
_AT_ONCE = 1000


class _Nothing(msgspec.Struct):
    """What a lock's file has."""


class WorkList:
    """The prompts of a run and which of them are done, as a context manager that keeps other runs away.

    Args:
        path: of the database, which is removed at the end, with all files of the same stem.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = path.with_suffix(".lock")
        self._stack = contextlib.ExitStack()
        self._database: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        """Make the database, in the place of one that a killed run has left.

        Raises:
            RecordsInUse: another run has one there.
            TrioBeamError: it cannot be made.
        """
        with contextlib.ExitStack() as stack:
            try:
                self._lock.touch()
                stack.enter_context(RecordLog(self._lock, _Nothing))
            except RecordsInUse:
                raise RecordsInUse(f"another run is using {self._path.parent}") from None
            except OSError as error:
                words = f"unable to open {self._lock.name}: {error.strerror}"
                raise self._unusable(words) from None
            stack.callback(self._remove)
            self._remove()
            try:
                self._database = sqlite3.connect(self._path, isolation_level=None)
                stack.callback(self._database.close)
                # Nobody else reads it, and a killed run makes it anew: nothing has to reach the disk.
                self._database.execute("PRAGMA journal_mode = OFF")
                self._database.execute("PRAGMA synchronous = OFF")
                self._database.execute(_TABLE)
            except sqlite3.Error as error:
                raise self._unusable(error) from None
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the database, and let other runs in."""
        self._stack.__exit__(exc_type, exc, traceback)

    def fill(self, records: Iterable[PromptRecord], shuffle_seed: int | None) -> Iterator[int]:
        """Read the prompts; yield how many there are so far, now and then.

        Args:
            records: of the file.
            shuffle_seed: for the order in which they are searched; None: that of the file.

        Raises:
            BadPrompts: two records have the same id, or a record cannot be read.
        """
        number = 0
        self._execute("BEGIN")
        for number, record in enumerate(records, 1):
            place = number if shuffle_seed is None else base_seed(shuffle_seed, f" {record.id}")
            body = msgspec.json.encode([record.prompt, dict(record.search)])
            row = (number, record.id, record.digest, body, place)
            try:
                self._execute("INSERT INTO prompts VALUES (?, ?, ?, ?, ?, 0)", row)
            except sqlite3.IntegrityError:
                where = "SELECT number FROM prompts WHERE id = ?"
                (first,) = self._execute(where, (record.id,)).fetchone()
                raise BadPrompts(
                    f"records {first} and {number} have the same id, {record.id!r}"
                ) from None
            if number % _AT_ONCE == 0:
                yield number
        self._execute("COMMIT")
        self._execute("CREATE INDEX places ON prompts (done, place, number)")
        yield number

    def note_done(self, name: str, digest: str) -> str:
        """Note that a prompt needs no search.

        Returns:
            ``"done"``, ``"changed"`` (the id has another prompt now) or ``"gone"`` (no prompt has the id).
        """
        found = self._execute("SELECT digest FROM prompts WHERE id = ?", (name,)).fetchone()
        if found is None:
            return "gone"
        self._execute("UPDATE prompts SET done = 1 WHERE id = ?", (name,))
        return "done" if found[0] == digest else "changed"

    def left(self) -> int:
        """Count the prompts that need a search."""
        (count,) = self._execute("SELECT COUNT(*) FROM prompts WHERE done = 0").fetchone()
        return int(count)

    def pending(self) -> Iterator[PromptRecord]:
        """Yield the prompts that need a search, in their order."""
        last: tuple[int, int] = (-(2**63), 0)
        while rows := self._execute(
            "SELECT place, number, id, body FROM prompts WHERE done = 0 AND (place, number) > (?, ?)"
            " ORDER BY place, number LIMIT ?",
            (*last, _AT_ONCE),
        ).fetchall():
            for place, number, name, body in rows:
                last = (place, number)
                prompt, search = msgspec.json.decode(body)
                yield PromptRecord(id=name, prompt=prompt, search=search)

    def _execute(self, statement: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        assert self._database is not None
        try:
            return self._database.execute(statement, values)
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            raise self._unusable(error) from None

    def _unusable(self, why: object) -> TrioBeamError:
        return TrioBeamError(f"{self._path.parent} cannot be used for a run: {why}")

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            for left in self._path.parent.glob(f"{self._path.stem}.*"):
                if left != self._lock:
                    left.unlink(missing_ok=True)
