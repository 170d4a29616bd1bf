"""State of a run at a provider, requests and answers, in a database in the run's folder.

Every step is on the disk before the next, so that a run killed at any moment goes on: what may have been
accepted is looked for at the provider, by the run's name, before it is sent again.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, TypeAlias

import attrs
import msgspec

from trio_beam.batch.prompts import PromptRecord
from trio_beam.dialects.openai_batches import LineAnswer, request_line, unanswered
from trio_beam.errors import TrioBeamError
from trio_beam.http.answered import KnownAnswer

#: In the run's folder.
STATE = "openai-batch.sqlite"
_AT_ONCE = 500
_TABLES = """
CREATE TABLE IF NOT EXISTS run (name TEXT, base_url TEXT);
CREATE TABLE IF NOT EXISTS waiting (number INTEGER PRIMARY KEY, id TEXT UNIQUE, body BLOB);
CREATE TABLE IF NOT EXISTS requests (
    number INTEGER PRIMARY KEY, name TEXT UNIQUE, record TEXT, path TEXT, body BLOB,
    part INTEGER, status INTEGER, answer BLOB
);
CREATE INDEX IF NOT EXISTS of_records ON requests (record);
CREATE INDEX IF NOT EXISTS of_parts ON requests (part, number);
CREATE TABLE IF NOT EXISTS parts (
    number INTEGER PRIMARY KEY, path TEXT, step TEXT, file_id TEXT, batch_id TEXT
);
"""

#: What has been done for a part; "uploading" and "creating": perhaps.
Step: TypeAlias = Literal["new", "uploading", "uploaded", "creating", "created", "read"]


@attrs.frozen
class Part:
    """Requests that are one file and one batch.

    Attributes:
        number: from 1.
        path: of the call that answers them.
        step: what has been done.
        file_id: of the uploaded file; "" before.
        batch_id: of the batch; "" before.
    """

    number: int
    path: str
    step: Step = "new"
    file_id: str = ""
    batch_id: str = ""


class Wanted(NamedTuple):
    """A request without an answer."""

    name: str
    record: str
    path: str
    body: bytes


class ProviderState:
    """The state of a run in provider batches, as a context manager.

    Args:
        folder: of the run, whose lock the caller holds.
        base_url: of the provider.

    Attributes:
        run: name of the run, unlike any other's.
    """

    def __init__(self, folder: Path, base_url: str) -> None:
        self._path = folder / STATE
        self._base_url = base_url
        self._open: sqlite3.Connection | None = None
        self.run = ""

    def __enter__(self) -> Self:
        """Open the database, made if it is not there.

        Raises:
            TrioBeamError: it cannot be used, or waits for another provider.
        """
        try:
            self._open = sqlite3.connect(self._path, isolation_level=None)
        except sqlite3.Error as error:
            raise self._unusable(error) from None
        try:
            self._prepare()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the database; remove it if nothing is left to be done."""
        assert self._open is not None
        empty = exc is None and not self._one("SELECT COUNT(*) FROM requests")
        self._open.close()
        if empty:
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _prepare(self) -> None:
        self._execute("PRAGMA journal_mode = WAL")
        self._execute("PRAGMA synchronous = FULL")
        with self._transaction():
            for statement in _TABLES.split(";"):
                self._execute(statement)
            if not self._one("SELECT COUNT(*) FROM run"):
                new = (secrets.token_hex(8), self._base_url)
                self._execute("INSERT INTO run VALUES (?, ?)", new)
            # Those that are still to be searched are given anew.
            self._execute("DELETE FROM waiting")
        self.run, url = self._execute("SELECT name, base_url FROM run").fetchone()
        if url != self._base_url:
            raise TrioBeamError(
                f"{self._path} has requests at {url}: go on with --base-url {url}, or remove that file to"
                " send them anew"
            )

    # -- answers

    def answer(self, name: str) -> KnownAnswer | None:
        """Return the answer to a request, if it is there."""
        row = self._execute(
            "SELECT status, answer FROM requests WHERE name = ? AND status IS NOT NULL", (name,)
        ).fetchone()
        return None if row is None else KnownAnswer(*row)

    def save(
        self,
        done: Iterable[str],
        waiting: Iterable[PromptRecord],
        wanted: Iterable[Wanted],
    ) -> None:
        """Note what has become of prompts.

        Args:
            done: ids of those with an outcome, which is on the disk.
            waiting: those whose requests have no answer yet.
            wanted: these requests.
        """
        names = [(name,) for name in done]
        records = [(one.id, msgspec.json.encode([one.prompt, dict(one.search)])) for one in waiting]
        with self._transaction():
            self._many("DELETE FROM waiting WHERE id = ?", names)
            self._many("DELETE FROM requests WHERE record = ?", names)
            self._many("INSERT OR IGNORE INTO waiting (id, body) VALUES (?, ?)", records)
            self._many(
                "INSERT OR IGNORE INTO requests (name, record, path, body) VALUES (?, ?, ?, ?)",
                wanted,
            )

    def waiting(self) -> Iterator[PromptRecord]:
        """Yield the prompts that wait for answers, in order."""
        last = 0
        while rows := self._execute(
            "SELECT number, id, body FROM waiting WHERE number > ? ORDER BY number LIMIT ?",
            (last, _AT_ONCE),
        ).fetchall():
            last = rows[-1][0]
            for _, name, body in rows:
                prompt, search = msgspec.json.decode(body)
                yield PromptRecord(id=name, prompt=prompt, search=search)

    # -- parts

    def divide(self, max_requests: int, max_bytes: int) -> int:
        """Put all requests that are in no part into new ones, within a file's limits; return their number."""
        made = 0
        with self._transaction():
            for (path,) in self._execute(
                "SELECT DISTINCT path FROM requests WHERE part IS NULL ORDER BY path"
            ).fetchall():
                made += self._divide(path, max_requests, max_bytes)
        return made

    def _divide(self, path: str, max_requests: int, max_bytes: int) -> int:
        part = made = count = size = last = 0
        overhead = len(request_line("0" * 32, path, b"{}"))
        while rows := self._execute(
            "SELECT number, length(body) FROM requests"
            " WHERE part IS NULL AND path = ? AND number > ? ORDER BY number LIMIT ?",
            (path, last, _AT_ONCE),
        ).fetchall():
            for last, length in rows:
                if not made or count == max_requests or size + length + overhead > max_bytes:
                    new = self._execute("INSERT INTO parts (path, step) VALUES (?, 'new')", (path,))
                    part, made, count, size = new.lastrowid or 0, made + 1, 0, 0
                self._execute("UPDATE requests SET part = ? WHERE number = ?", (part, last))
                count, size = count + 1, size + length + overhead
        return made

    def open_parts(self) -> list[Part]:
        """Return the parts whose answers have not been read."""
        rows = self._execute(
            "SELECT number, path, step, coalesce(file_id, ''), coalesce(batch_id, '') FROM parts"
            " WHERE step != 'read' ORDER BY number"
        )
        return [Part(*row) for row in rows.fetchall()]

    def note(self, part: Part) -> Part:
        """Bring to the disk what has been done for a part; return it."""
        values = (part.step, part.file_id, part.batch_id, part.number)
        self._execute(
            "UPDATE parts SET step = ?, file_id = ?, batch_id = ? WHERE number = ?", values
        )
        return part

    def file_of(self, part: Part) -> bytes:
        """Return the file of a part: a request a line."""
        rows = self._execute(
            "SELECT name, path, body FROM requests WHERE part = ? ORDER BY number", (part.number,)
        )
        return b"".join(request_line(*row) for row in rows)

    def take(self, part: Part, answers: Iterable[LineAnswer]) -> int:
        """Keep answers to the requests of a part, the first to each; return how many were new."""
        new = 0
        with self._transaction():
            for one in answers:
                new += self._execute(
                    "UPDATE requests SET status = ?, answer = ?"
                    " WHERE name = ? AND part = ? AND status IS NULL",
                    (one.status, one.body, one.name, part.number),
                ).rowcount
        return new

    def finish(self, part: Part, why: str) -> int:
        """Note that all answers of a part have been read; return how many of its requests have none.

        Args:
            part: whose batch has ended.
            why: some requests have no answer.
        """
        missing = unanswered("", {"message": why})
        with self._transaction():
            count = self._execute(
                "UPDATE requests SET status = ?, answer = ? WHERE part = ? AND status IS NULL",
                (missing.status, missing.body, part.number),
            ).rowcount
            self.note(attrs.evolve(part, step="read"))
        return count

    def reopen(self, part: Part) -> None:
        """Put the requests of a part whose batch was refused into another one, with another run's name.

        The refused batch must not be found again.
        """
        with self._transaction():
            self._execute(
                "UPDATE requests SET part = NULL WHERE part = ? AND status IS NULL", (part.number,)
            )
            self.note(attrs.evolve(part, step="read"))

    # -- the database

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._execute("BEGIN IMMEDIATE")
        try:
            yield
            self._execute("COMMIT")
        except BaseException:
            assert self._open is not None
            with contextlib.suppress(sqlite3.Error):
                self._open.execute("ROLLBACK")
            raise

    def _one(self, statement: str) -> int:
        (number,) = self._execute(statement).fetchone()
        return int(number)

    def _execute(self, statement: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        assert self._open is not None
        try:
            return self._open.execute(statement, values)
        except sqlite3.Error as error:
            raise self._unusable(error) from None

    def _many(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        assert self._open is not None
        try:
            self._open.executemany(statement, rows)
        except sqlite3.Error as error:
            raise self._unusable(error) from None

    def _unusable(self, error: sqlite3.Error) -> TrioBeamError:
        return TrioBeamError(
            f"{self._path} cannot be used: {error}. Once that is mended, the same command goes on"
        )
