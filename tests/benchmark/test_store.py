"""The records of a run: found by their key, in a folder that one run uses at a time."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import msgspec
import pytest

from trio_beam.benchmark.records import Key, Record
from trio_beam.benchmark.store import FolderInUse, Store, read_records
from trio_beam.errors import TrioBeamError
from trio_beam.records import from_line, to_line


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


def test_a_key_is_of_the_problem_its_words_the_strategy_and_the_configuration() -> None:
    record = record_of()
    assert record.key == Key("p/1", "d", "greedy", "c")
    for field in ("problem", "digest", "strategy", "configuration"):
        assert msgspec.structs.replace(record, **{field: "other"}).key != record.key
    assert msgspec.structs.replace(record, text="other", seed=8).key == record.key


@pytest.mark.parametrize("name", ["exact", "rounds", "meta", "seconds", "search_score", "votes"])
def test_a_record_of_another_version_is_read(name: str) -> None:
    older = json.loads(to_line(record_of()))
    del older["crc"], older[name]
    body = json.dumps(older | {"of_tomorrow": 1}).encode()
    read = from_line(body[:-1] + b',"crc":"%08x"}' % zlib.crc32(body), Record)
    assert read is not None
    assert read.key == record_of().key


def test_the_records_of_a_folder(tmp_path: Path) -> None:
    first, second = record_of(text="first"), record_of(text="second")
    assert read_records(tmp_path) == []
    with Store(tmp_path) as store:
        for record in (first, record_of("p/2"), second):
            store.append(record)
    with Store(tmp_path) as store:
        assert list(store) == read_records(tmp_path) == [second, record_of("p/2")]
        assert store.get(second.key) == second


def test_one_run_uses_a_folder_at_a_time(tmp_path: Path) -> None:
    with Store(tmp_path), pytest.raises(FolderInUse, match=r"another run is using .* output\.dir"):
        Store(tmp_path).__enter__()


@pytest.mark.parametrize("name", ["a file", "a file/below", "run"])
def test_a_folder_that_cannot_be_used_is_said_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "a file").touch()
    (tmp_path / "run" / "records.jsonl").mkdir(parents=True)
    with pytest.raises(TrioBeamError, match="cannot be used for records"):
        Store(tmp_path / name).__enter__()
