"""The file of a cache: an SQLite database of compressed bodies by key, for many processes.

The write-ahead log lets readers go on beside a writer, and a killed process leaves nothing half written.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from trio_beam.errors import CacheUnusable

_LOG = logging.getLogger("trio_beam.cache")
#: In the folder.
_NAME = "responses.sqlite"
#: In the file's header: that it is a cache of ours, and of which format.
_APPLICATION, _FORMAT = 0x7B63_6163, 1
#: Seconds to wait for another process that writes.
_BUSY = 10.0
#: Responses that leave at once when the cache is full.
_LEAVING = 16
_TABLE = "CREATE TABLE responses (number INTEGER PRIMARY KEY, key BLOB UNIQUE NOT NULL, body BLOB NOT NULL)"


class CacheFile:
    """A file of responses. All methods block, and may be called from any thread.

    A fault after `open` fails no search: it is logged once, and the file is left aside.

    Args:
        folder: made by `open`.
        max_bytes: maximum size of what is kept; the oldest leave first.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._path = folder / _NAME
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._readable = self._writable = True

    def open(self) -> None:
        """Open the file, and make it if needed.

        Raises:
            CacheUnusable: it cannot be made, read or written, or is another program's.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(
                self._path, timeout=_BUSY, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from None
        try:
            self._prepare(database)
        except sqlite3.Error as error:
            database.close()
            raise self._unusable(error) from None
        except CacheUnusable:
            database.close()
            raise
        self._database = database
        self._readable = self._writable = True

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            database, self._database = self._database, None
            if database is not None:
                with contextlib.suppress(sqlite3.Error):
                    database.close()

    def get(self, key: bytes) -> bytes | None:
        """Return a body, or None if there is none."""
        with self._lock:
            if self._database is None or not self._readable:
                return None
            try:
                row = self._database.execute(
                    "SELECT body FROM responses WHERE key = ?", (key,)
                ).fetchone()
                return None if row is None else zlib.decompress(row[0])
            except (sqlite3.Error, zlib.error, TypeError) as error:
                self._readable = self._writable = False
                self._log(error, "is not read any more")
                return None

    def put(self, responses: Mapping[bytes, bytes]) -> None:
        """Keep bodies by key, in the place of older ones."""
        rows = [(key, zlib.compress(body, 1)) for key, body in responses.items()]
        with self._lock:
            if self._database is None or not self._writable:
                return
            try:
                with _transaction(self._database):
                    statement = "INSERT OR REPLACE INTO responses (key, body) VALUES (?, ?)"
                    self._database.executemany(statement, rows)
                    self._make_room(self._database)
            except sqlite3.Error as error:
                self._writable = False
                self._log(error, "takes no more responses")

    def _prepare(self, database: sqlite3.Connection) -> None:
        """Check that the file is ours or new, and make its table."""
        if not _number(database, "SELECT COUNT(*) FROM sqlite_master"):
            # Waits for another process that does the same; the change to a log does not by itself.
            with _transaction(database):
                if not _number(database, "SELECT COUNT(*) FROM sqlite_master"):
                    database.execute(_TABLE)
                    database.execute(f"PRAGMA application_id = {_APPLICATION}")
                    database.execute(f"PRAGMA user_version = {_FORMAT}")
        if _number(database, "PRAGMA application_id") != _APPLICATION:
            raise CacheUnusable(f"{self._path} is not a cache of trio-beam: name another folder")
        if _number(database, "PRAGMA user_version") != _FORMAT:
            raise CacheUnusable(
                f"{self._path} is of another version of trio-beam: name another folder"
            )
        with contextlib.suppress(sqlite3.OperationalError):  # another process has it open: it will
            database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        with _transaction(database):  # where nothing can be written, now is the time to say so
            database.execute(f"PRAGMA user_version = {_FORMAT}")

    def _make_room(self, database: sqlite3.Connection) -> None:
        while self._size(database) > self._max_bytes:
            found = database.execute(
                "DELETE FROM responses WHERE number IN"
                " (SELECT number FROM responses ORDER BY number LIMIT ?)",
                (_LEAVING,),
            )
            if not found.rowcount:
                return

    def _size(self, database: sqlite3.Connection) -> int:
        pages = _number(database, "PRAGMA page_count") - _number(database, "PRAGMA freelist_count")
        return pages * _number(database, "PRAGMA page_size")

    def _log(self, error: Exception, what: str) -> None:
        _LOG.warning("the cache %s %s: %s", self._path, what, error)

    def _unusable(self, error: Exception) -> CacheUnusable:
        words = getattr(error, "strerror", None) or error
        return CacheUnusable(
            f"{self._path} cannot be used as a cache: {words}. Name another folder, or leave the cache out"
        )


@contextlib.contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Write everything or nothing."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # a full disk may have ended it
            database.execute("ROLLBACK")
        raise


def _number(database: sqlite3.Connection, statement: str) -> int:
    (number,) = database.execute(statement).fetchone()
    return int(number)
