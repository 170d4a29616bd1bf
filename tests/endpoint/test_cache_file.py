"""The file of a cache: bounded, shared by processes, killed in the middle, damaged, full."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.endpoint.killed_writers import ROOM, body, key
from trio_beam.endpoint.cache_file import CacheFile
from trio_beam.errors import CacheUnusable


@pytest.fixture
def file(tmp_path: Path) -> Iterator[CacheFile]:
    made = CacheFile(tmp_path / "cache", ROOM)
    made.open()
    yield made
    made.close()


def test_what_is_put_is_there_for_others_too(file: CacheFile, tmp_path: Path) -> None:
    file.put({key(1): b"one", key(2): b""})
    file.put({key(1): b"another"})
    other = CacheFile(tmp_path / "cache", ROOM)
    other.open()
    assert [other.get(key(number)) for number in (1, 2, 3)] == [b"another", b"", None]
    other.close()
    assert other.get(key(1)) is None
    other.put({key(3): b"after the end"})
    assert file.get(key(3)) is None


def test_the_oldest_leave_when_it_is_full(tmp_path: Path) -> None:
    file = CacheFile(tmp_path, 1 << 20)
    file.open()
    for number in range(600):  # three times as much as fits
        file.put({key(number): body(number)})
    there = [number for number in range(600) if file.get(key(number)) is not None]
    assert there == list(range(there[0], 600))
    assert 100 < len(there) < 300
    file.close()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2 << 20


def test_what_is_larger_than_the_cache_is_not_kept(tmp_path: Path) -> None:
    file = CacheFile(tmp_path, 1 << 20)
    file.open()
    file.put({key(1): body(1, 2 << 20)})
    assert file.get(key(1)) is None
    file.close()


def test_a_full_disk_is_said_once_and_what_is_there_can_be_read(
    file: CacheFile, caplog: pytest.LogCaptureFixture
) -> None:
    file.put({key(1): b"one"})
    assert file._database is not None
    (pages,) = file._database.execute("PRAGMA page_count").fetchone()
    file._database.execute(f"PRAGMA max_page_count = {pages}")
    with caplog.at_level(logging.WARNING):
        file.put({key(2): body(2), key(3): body(3)})
        file.put({key(4): body(4)})
    (said,) = caplog.messages
    assert said.endswith("takes no more responses: database or disk is full")
    assert [file.get(key(number)) for number in (1, 2, 3, 4)] == [b"one", None, None, None]


def test_a_damaged_response_is_said_and_not_used(
    file: CacheFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.put({key(1): b"one" * 99})
    with sqlite3.connect(tmp_path / "cache" / "responses.sqlite") as other:
        other.execute("UPDATE responses SET body = x'789c00'")
    other.close()
    with caplog.at_level(logging.WARNING):
        assert file.get(key(1)) is None
        assert file.get(key(1)) is None
    assert len(caplog.messages) == 1
    assert "is not read any more" in caplog.text


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("CREATE TABLE theirs (one)", "is not a cache of trio-beam"),
        ("PRAGMA application_id = 77", "is not a cache of trio-beam"),
        (None, "of another version"),
    ],
)
def test_a_database_of_others_is_left_alone(
    statement: str | None, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "responses.sqlite"
    file = CacheFile(tmp_path, ROOM)
    if statement is None:
        file.open()
        file.close()
        statement = "PRAGMA user_version = 99"
    with sqlite3.connect(path) as theirs:
        theirs.execute("CREATE TABLE IF NOT EXISTS responses (more)")
        theirs.execute(statement)
    theirs.close()
    before = path.read_bytes()
    with pytest.raises(CacheUnusable, match=words):
        file.open()
    assert path.read_bytes() == before


def test_a_file_that_cannot_be_written_is_said_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = CacheFile(tmp_path, ROOM)
    file.open()
    file.close()
    other = sqlite3.connect(tmp_path / "responses.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr("trio_beam.endpoint.cache_file._BUSY", 0.01)
    with pytest.raises(CacheUnusable, match="locked"):
        file.open()
    other.close()


def test_processes_share_it_and_may_be_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.endpoint.killed_writers", str(tmp_path), "3"]
    subprocess.run(command, check=True, timeout=120)
    file = CacheFile(tmp_path, ROOM)
    file.open()
    assert file._database is not None
    assert file._database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    rows = file._database.execute("SELECT key FROM responses").fetchall()
    assert len(rows) > 20
    for (found,) in rows:
        assert file.get(found) == body(int.from_bytes(found, "big"))
    file.close()
