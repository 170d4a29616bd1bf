"""The records on disk: what is whole stays, what is torn is noticed, and one run writes at a time."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from trio_beam.benchmark.records import Key, Record, from_line, to_line
from trio_beam.benchmark.store import FolderInUse, Store, read_records
from trio_beam.errors import TrioBeamError

FAST = settings(max_examples=60)
#: Of a stateful run, each step of which may sync a file.
STATEFUL = settings(max_examples=25, stateful_step_count=25)

words = st.text(st.characters(codec="utf-8"), max_size=12)


def record_of(problem: str = "p/1", strategy: str = "greedy", text: str = "an answer") -> Record:
    return Record(
        problem=problem,
        digest="d",
        strategy=strategy,
        label=strategy.title(),
        configuration="c",
        seed=7,
        text=text,
        passed=True,
        score=1.0,
        answer="4",
        detail="",
        search_score=-1.25,
        round_scores=[-0.5, None, -1.25],
        rounds=3,
        prompt_tokens=11,
        completion_tokens=22,
        requests=3,
        seconds=0.125,
        stop_reason="finished",
        exact=True,
        votes=[("4", 0.75), ("5", 0.25)],
        meta={"subject": "sums", "level": 2},
    )


records = st.builds(
    record_of, problem=st.sampled_from("abcd"), strategy=st.sampled_from("xy"), text=words
)


@contextmanager
def folder() -> Iterator[Path]:
    """A fresh one for each example."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def fill(path: Path, *written: Record) -> bytes:
    """Write records, and return the file."""
    with Store(path) as store:
        for record in written:
            store.append(record)
    return (path / "records.jsonl").read_bytes()


def there(path: Path) -> list[Record]:
    with Store(path) as store:
        return list(store)


@given(records)
def test_a_record_comes_back_from_its_line(record: Record) -> None:
    line = to_line(record)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert from_line(line[:-1]) == record
    assert msgspec.json.decode(line)["problem"] == record.problem  # any reader of JSON lines


@given(records, st.data())
def test_no_line_with_a_changed_byte_is_read(record: Record, data: st.DataObject) -> None:
    line = bytearray(to_line(record)[:-1])
    place = data.draw(st.integers(0, len(line) - 1))
    line[place] ^= data.draw(st.integers(1, 255))
    assert from_line(bytes(line)) is None


@pytest.mark.parametrize("line", [b"", b"{}", b"null", b'{"crc":"00000000"}', b"\0" * 400])
def test_what_is_no_record_is_none(line: bytes) -> None:
    assert from_line(line) is None


@pytest.mark.parametrize("name", ["exact", "rounds", "meta", "seconds", "search_score"])
def test_a_record_of_another_version_is_read(name: str) -> None:
    """A member that is missing has its default, and one that is unknown is left out."""
    older = json.loads(to_line(record_of()))
    del older["crc"], older[name]
    body = json.dumps(older | {"of_tomorrow": 1}).encode()
    line = body[:-1] + b',"crc":"%08x"}' % zlib.crc32(body)
    read = from_line(line)
    assert read is not None
    assert read.key == record_of().key


def test_of_equal_keys_the_last_counts(tmp_path: Path) -> None:
    first, second = record_of(text="first"), record_of(text="second")
    fill(tmp_path, first, record_of("p/2"), second)
    assert there(tmp_path) == [second, record_of("p/2")]
    assert read_records(tmp_path / "records.jsonl") == [second, record_of("p/2")]


def test_a_key_is_of_the_problem_its_words_the_strategy_and_the_configuration() -> None:
    record = record_of()
    assert record.key == Key("p/1", "d", "greedy", "c")
    for field in ("problem", "digest", "strategy", "configuration"):
        assert msgspec.structs.replace(record, **{field: "other"}).key != record.key
    assert msgspec.structs.replace(record, text="other", seed=8).key == record.key


@FAST
@given(st.lists(records, min_size=1, max_size=5), st.data())
def test_a_file_that_was_cut_anywhere_has_the_records_before_the_cut(
    written: list[Record], data: st.DataObject
) -> None:
    with folder() as path:
        content = fill(path, *written)
        cut = data.draw(st.integers(0, len(content)))
        (path / "records.jsonl").write_bytes(content[:cut])
        lines = content[:cut].split(b"\n")
        with Store(path) as store:
            assert store.damaged == (lines[-1] != b"")
            kept = {record.key: record for record in written[: len(lines) - 1]}
            assert list(store) == list(kept.values())
            store.append(record_of("after", "the cut"))
        assert there(path) == [*kept.values(), record_of("after", "the cut")]


@FAST
@given(st.lists(records, max_size=3), st.binary(min_size=1, max_size=300))
def test_rubbish_at_the_end_does_no_harm(written: list[Record], rubbish: bytes) -> None:
    """Such as the zeros that some file systems leave behind after a loss of power."""
    with folder() as path:
        fill(path, *written)
        with (path / "records.jsonl").open("ab") as file:
            file.write(rubbish)
        kept = list({record.key: record for record in written}.values())
        with Store(path) as store:
            assert list(store) == kept
            assert store.damaged > 0
            store.append(record_of("after", "it"))
        assert there(path) == [*kept, record_of("after", "it")]


class OnDisk(RuleBasedStateMachine):
    """A store that is appended to, cut, damaged and opened again, against the lines that it should have."""

    @initialize()
    def begin(self) -> None:
        self.home = tempfile.TemporaryDirectory()
        self.folder = Path(self.home.name)
        self.file = self.folder / "records.jsonl"
        self.lines: list[tuple[bytes, Record | None]] = []
        self.store = Store(self.folder).__enter__()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.__exit__(None, None, None)
            self.home.cleanup()

    @rule(record=records)
    def append(self, record: Record) -> None:
        self.store.append(record)
        self.lines.append((to_line(record), record))

    @rule()
    def again(self) -> None:
        self.store.__exit__(None, None, None)
        self.store = Store(self.folder).__enter__()
        assert self.store.damaged == sum(record is None for _, record in self.lines)

    @rule(share=st.floats(0, 1))
    def cut(self, share: float) -> None:
        """A crash in the middle of a write, then a new run."""
        self.store.__exit__(None, None, None)
        content = self.file.read_bytes()
        kept = content[: int(share * len(content))]
        self.file.write_bytes(kept)
        self.store = Store(self.folder).__enter__()
        while sum(len(line) for line, _ in self.lines) > len(kept):
            self.lines.pop()

    @rule(share=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255))
    def damage(self, share: float, mask: int) -> None:
        """A byte of a whole line changes, but not to or from the end of one."""
        content = bytearray(self.file.read_bytes())
        place = int(share * len(content))
        if not content or ord("\n") in (content[place], content[place] ^ mask):
            return
        self.store.__exit__(None, None, None)
        content[place] ^= mask
        self.file.write_bytes(bytes(content))
        self.store = Store(self.folder).__enter__()
        for index, (line, record) in enumerate(self.lines):
            if place < len(line):
                now = bytearray(line)
                now[place] ^= mask
                # The same byte twice: the line is whole again.
                self.lines[index] = (bytes(now), from_line(bytes(now[:-1])))
                assert record is None or self.lines[index][1] is None
                break
            place -= len(line)

    @invariant()
    def holds_what_is_whole(self) -> None:
        if not hasattr(self, "store"):
            return
        expected: dict[Key, Record] = {}
        for _, record in self.lines:
            if record is not None:
                expected[record.key] = record
        assert list(self.store) == list(expected.values())
        assert len(self.store) == len(expected)
        assert all(self.store.get(key) == record for key, record in expected.items())
        assert self.file.read_bytes() == b"".join(line for line, _ in self.lines)


TestOnDisk = OnDisk.TestCase
TestOnDisk.settings = STATEFUL


def test_a_record_is_on_disk_and_synced_when_append_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []
    sync = os.fsync

    def watched(file: int) -> None:
        sync(file)
        seen.append((tmp_path / "records.jsonl").read_bytes())

    with Store(tmp_path) as store:
        monkeypatch.setattr(os, "fsync", watched)
        for name in ("one", "two"):
            store.append(record_of(name))
            assert seen[-1].endswith(to_line(record_of(name)))
    assert len(seen) == 2


def test_a_write_may_take_several_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    with Store(tmp_path) as store:
        monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))
        store.append(record_of())
    assert there(tmp_path) == [record_of()]


def test_a_full_disk_costs_the_record_that_was_written_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another task may still hand in its record before the run has ended."""
    write = os.write
    with Store(tmp_path) as store:
        store.append(record_of("before"))

        def half(file: int, data: bytes) -> int:
            if len(data) < 100:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(file, data[: len(data) - 50])

        monkeypatch.setattr(os, "write", half)
        with pytest.raises(TrioBeamError, match="No space left on device"):
            store.append(record_of("lost"))
        monkeypatch.undo()
        assert store.get(record_of("lost").key) is None
        store.append(record_of("after"))
    assert there(tmp_path) == [record_of("before"), record_of("after")]


def test_the_same_process_cannot_open_it_twice(tmp_path: Path) -> None:
    with Store(tmp_path), pytest.raises(FolderInUse, match=r"another run is using .* output\.dir"):
        Store(tmp_path).__enter__()
    assert there(tmp_path) == []


def test_another_process_holds_the_folder_until_it_is_killed(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys; from trio_beam.benchmark.store import Store\n"
        "with Store(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        try:
            assert other.stdout.readline() == b"held\n"
            with pytest.raises(FolderInUse):
                Store(tmp_path).__enter__()
        finally:
            other.kill()
            other.wait()
        assert there(tmp_path) == []


@pytest.mark.parametrize("name", ["a file", "a file/below", "run"])
def test_a_folder_that_cannot_be_used_is_said_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "a file").touch()
    (tmp_path / "run" / "records.jsonl").mkdir(parents=True)
    with pytest.raises(TrioBeamError, match="cannot be used for records"):
        Store(tmp_path / name).__enter__()
    # And the lock is free again.
    with pytest.raises(TrioBeamError, match="cannot be used for records"):
        Store(tmp_path / name).__enter__()


def test_reading_takes_no_lock_and_changes_nothing(tmp_path: Path) -> None:
    content = fill(tmp_path, record_of("one"), record_of("two"))
    path = tmp_path / "records.jsonl"
    path.write_bytes(content[:-3])
    with Store(tmp_path / "other"):
        assert read_records(path) == [record_of("one")]
    assert path.read_bytes() == content[:-3]
