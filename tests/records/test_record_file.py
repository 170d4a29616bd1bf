"""Records on disk: what is whole stays, what is torn is noticed, and one process writes at a time."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.records.notes import Note, a_path, fill, notes, opened, there
from trio_beam.records import RecordsInUse, RecordsUnusable, from_line, to_line

FAST = settings(max_examples=60, deadline=None)
#: Of a stateful run, each step of which may sync a file.
STATEFUL = settings(max_examples=25, stateful_step_count=25, deadline=None)
ONE, TWO, THREE = (Note(id=name, text=name * 3) for name in ("one", "two", "three"))


def test_of_equal_keys_the_last_counts(tmp_path: Path) -> None:
    second = Note(id="one", text="second")
    path = tmp_path / "notes.jsonl"
    fill(path, ONE, TWO, second)
    with opened(path) as file:
        assert list(file) == [second, TWO]
        assert (len(file), file.get("one"), file.get("none")) == (2, second, None)
    assert there(path) == [second, TWO]


@FAST
@given(st.lists(notes, min_size=1, max_size=5), st.data())
def test_a_file_that_was_cut_anywhere_has_the_records_before_the_cut(
    written: list[Note], data: st.DataObject
) -> None:
    with a_path() as path:
        content = fill(path, *written)
        cut = data.draw(st.integers(0, len(content)))
        path.write_bytes(content[:cut])
        whole = sum(len(b"".join(map(to_line, written[:n]))) <= cut + 1 for n in range(1, 6))
        whole = min(whole, len(written))
        at_a_line = cut in {len(b"".join(map(to_line, written[:n]))) - 1 for n in range(1, 6)}
        kept = {note.id: note for note in written[:whole]}
        torn = not at_a_line and not content[:cut].endswith(b"\n") and cut > 0
        with opened(path) as file:
            assert file.damaged == torn
            assert list(file) == list(kept.values())
            file.append(Note(id="after"))
        assert there(path) == [*kept.values(), Note(id="after")]
        assert all(from_line(line, Note) for line in path.read_bytes().splitlines())


@FAST
@given(st.lists(notes, max_size=3), st.binary(min_size=1, max_size=300))
def test_rubbish_at_the_end_does_no_harm(written: list[Note], rubbish: bytes) -> None:
    """Such as the zeros that some file systems leave behind after a loss of power."""
    with a_path() as path:
        fill(path, *written)
        with path.open("ab") as opened_file:
            opened_file.write(rubbish)
        kept = list({note.id: note for note in written}.values())
        with opened(path) as file:
            assert list(file) == kept
            assert bool(file.damaged) == bool(rubbish.strip())
            file.append(Note(id="after"))
        assert there(path) == [*kept, Note(id="after")]


def as_windows(content: bytes) -> bytes:
    return content.replace(b"\n", b"\r\n")


def with_blank_lines(content: bytes) -> bytes:
    return b"\n \r\n" + content.replace(b"\n", b"\n\n")


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("change", [as_windows, with_blank_lines, b"\xef\xbb\xbf".__add__])
def test_what_an_editor_does_to_a_file_costs_nothing(
    tmp_path: Path, change: Callable[[bytes], bytes], end: bytes
) -> None:
    path = tmp_path / "notes.jsonl"
    edited = change(fill(path, ONE, TWO)).rstrip(b"\r\n") + end
    path.write_bytes(edited)
    with opened(path) as file:
        assert (list(file), file.damaged) == ([ONE, TWO], 0)
        file.append(THREE)
    assert path.read_bytes().startswith(edited)
    assert there(path) == [ONE, TWO, THREE]


def test_what_somebody_has_written_is_not_cut_off(tmp_path: Path) -> None:
    """A whole object that is no record of ours, at the end, without a line's end."""
    path = tmp_path / "notes.jsonl"
    path.write_bytes(fill(path, ONE) + b'{"id": "by hand"}')
    with opened(path) as file:
        assert (list(file), file.damaged) == ([ONE], 1)
        file.append(TWO)
    assert b'{"id": "by hand"}\n' in path.read_bytes()
    assert there(path) == [ONE, TWO]


class OnDisk(RuleBasedStateMachine):
    """A file that is appended to, cut, damaged, replaced and opened again, against what it should have."""

    @initialize()
    def begin(self) -> None:
        self.home = tempfile.TemporaryDirectory()
        self.path = Path(self.home.name) / "notes.jsonl"
        self.expected: dict[str, Note] = {}
        self.said: list[str] = []
        self.file = opened(self.path, self.said).__enter__()

    def teardown(self) -> None:
        if hasattr(self, "file"):
            self.file.__exit__(None, None, None)
            self.home.cleanup()

    def reopen(self, change: Callable[[bytes], bytes] = lambda content: content) -> None:
        self.file.__exit__(None, None, None)
        if self.path.exists():
            self.path.write_bytes(change(self.path.read_bytes()))
        self.file = opened(self.path, self.said).__enter__()

    @rule(note=notes)
    def append(self, note: Note) -> None:
        assert self.file.append(note) == note
        self.expected[note.id] = note

    @rule()
    def again(self) -> None:
        self.reopen()

    @rule(share=st.floats(0, 1))
    def cut(self, share: float) -> None:
        """A crash in the middle of a write, then a new run: of each record an older one may be there."""
        self.reopen(lambda content: content[: int(share * len(content))])
        self.expected = {note.id: note for note in there(self.path)} if self.path.exists() else {}

    @rule()
    def as_windows(self) -> None:
        self.reopen(lambda content: as_windows(content).rstrip())

    @rule()
    def removed(self) -> None:
        self.path.unlink(missing_ok=True)

    @rule(share=st.floats(0, 1))
    def replaced(self, share: float) -> None:
        """As `sed -i` does, with a copy that may be older than the file."""
        copy = self.path.with_name("copy")
        content = self.path.read_bytes() if self.path.exists() else b""
        copy.write_bytes(content[: int(share * len(content))])
        copy.replace(self.path)

    @rule()
    def emptied(self) -> None:
        self.path.write_bytes(b"")

    @invariant()
    def holds_what_is_whole(self) -> None:
        if hasattr(self, "file"):
            assert {note.id: note for note in self.file} == self.expected

    @rule(note=notes)
    def is_all_on_disk_after_the_next_record(self, note: Note) -> None:
        self.append(note)
        assert {note.id: note for note in there(self.path)} == self.expected


TestOnDisk = OnDisk.TestCase
TestOnDisk.settings = STATEFUL


def removed(path: Path) -> None:
    path.unlink()


def replaced(path: Path) -> None:
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    copy.replace(path)


def shortened(path: Path) -> None:
    os.truncate(path, 3)


def removed_with_its_folder(path: Path) -> None:
    path.unlink()
    path.parent.rmdir()


CHANGES = [removed, replaced, shortened, removed_with_its_folder]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("goes_on", [True, False])
def test_a_file_that_is_changed_meanwhile_gets_what_it_lacks(
    tmp_path: Path, change: Callable[[Path], None], goes_on: bool
) -> None:
    path, said = tmp_path / "run" / "notes.jsonl", list[str]()
    with opened(path, said) as file:
        file.append(ONE)
        change(path)
        if goes_on:
            file.append(TWO)
            with pytest.raises(RecordsInUse):
                opened(path).__enter__()  # the lock went with it
    assert there(path) == [ONE, TWO][: 1 + goes_on]
    lacked = [] if change is replaced else ["the 1 records that it lacked are written"]
    assert [line.partition(": ")[2][: len(lacked[0])] for line in said] == lacked


def test_what_another_program_appends_is_read(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    with opened(path) as file:
        file.append(ONE)
        with path.open("ab") as other:
            other.write(to_line(TWO))
        file.append(THREE)
        assert list(file) == [ONE, TWO, THREE]
    assert there(path) == [ONE, TWO, THREE]


def test_a_run_whose_place_was_taken_keeps_its_records_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    with opened(path) as file:
        file.append(ONE)
        path.unlink()
        with opened(path) as other:
            other.append(TWO)
            with pytest.raises(
                RecordsInUse, match=r"its records are in (.*\.jsonl), and"
            ) as caught:
                file.append(THREE)
            file.append(THREE)  # another task may still hand in its own
    assert there(path) == [TWO]
    (aside,) = set(tmp_path.glob("*.jsonl")) - {path}
    assert str(aside) in str(caught.value)
    assert there(aside) == [ONE, THREE]


def test_a_record_is_on_disk_and_synced_when_append_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen, sync = tmp_path / "notes.jsonl", list[bytes](), os.fsync

    def watched(file: int) -> None:
        sync(file)
        seen.append(path.read_bytes())

    with opened(path) as file:
        monkeypatch.setattr(os, "fsync", watched)
        for note in (ONE, TWO):
            file.append(note)
            assert seen[-1].endswith(to_line(note))
    assert len(seen) == 2


def test_a_write_may_take_several_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    with opened(tmp_path / "notes.jsonl") as file:
        monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))
        file.append(ONE)
    assert there(tmp_path / "notes.jsonl") == [ONE]


def test_a_full_disk_costs_the_record_that_was_written_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another task may still hand in its record before the run has ended."""
    write = os.write

    def half(file: int, data: bytes) -> int:
        if len(data) < 60:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[: len(data) - 30])

    with opened(tmp_path / "notes.jsonl") as file:
        file.append(ONE)
        monkeypatch.setattr(os, "write", half)
        with pytest.raises(RecordsUnusable, match="No space left on device"):
            file.append(TWO)
        monkeypatch.undo()
        assert file.get("two") is None
        file.append(THREE)
    assert there(tmp_path / "notes.jsonl") == [ONE, THREE]


def test_the_same_process_cannot_open_it_twice(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    with opened(path), pytest.raises(RecordsInUse, match="another run is using"):
        opened(path).__enter__()
    with opened(path):
        pass


def test_nor_under_another_name(tmp_path: Path) -> None:
    path, link, hard = (tmp_path / name for name in ("notes.jsonl", "link", "hard"))
    fill(path, ONE)
    link.symlink_to(path)
    hard.hardlink_to(path)
    with opened(path):
        for name in (link, hard):
            with pytest.raises(RecordsInUse):
                opened(name).__enter__()
    with opened(link) as file:
        file.append(TWO)
    assert there(hard) == [ONE, TWO]


def test_another_process_holds_it_until_it_is_killed(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys; from tests.records.notes import opened\n"
        "with opened(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    path = tmp_path / "notes.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        try:
            assert other.stdout.readline() == b"held\n"
            with pytest.raises(RecordsInUse):
                opened(path).__enter__()
        finally:
            other.kill()
            other.wait()
        with opened(path) as file:
            assert list(file) == []


@pytest.mark.parametrize("name", ["a file/x", "a file/below/x", "folder", "pipe"])
def test_a_place_that_cannot_be_used_is_said_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "a file").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for _ in range(2):  # and the lock is free again
        with pytest.raises(RecordsUnusable, match="cannot be used for records"):
            opened(tmp_path / name).__enter__()
    assert {path.name for path in tmp_path.iterdir()} == {"a file", "folder", "pipe"}


def test_nothing_is_left_of_a_file_without_records(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "b" / "c" / "notes.jsonl"
    with opened(path):
        assert path.exists()
    assert list(tmp_path.rglob("*")) == [tmp_path / "a"]
    with opened(path):
        (path.parent / "other").touch()
    assert [found.name for found in path.parent.iterdir()] == ["other"]


def test_reading_takes_no_lock_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    content = fill(path, ONE, TWO)[:-3]
    path.write_bytes(content)
    assert there(path) == [ONE]
    assert path.read_bytes() == content
    with opened(path):
        assert there(path) == [ONE]
