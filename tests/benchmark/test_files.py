"""Files of problems as programs of all kinds write them: encodings, compression, columns, ids, bad rows."""

from __future__ import annotations

import datetime as dt
import decimal
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.benchmark.test_store import record_of
from trio_beam.benchmark.common.problem import BenchmarkError, Problem
from trio_beam.benchmark.records import Record
from trio_beam.benchmark.sets.jsonl import JsonLines
from trio_beam.benchmark.sets.rows import read_rows
from trio_beam.records import from_line, to_line

LINES = '{"prompt": "Was ist 2 + 3 – „fünf“?", "answer": "5"}\n{"prompt": "q", "answer": "x"}\n'
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]


def load(path: Path) -> list[Problem]:
    return list(JsonLines(name=f"jsonl:{path}", path=path).load(None, 0))


def problems(tmp_path: Path, *rows: Any) -> list[Problem]:
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return load(path)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", ["p.jsonl", "p.jsonl.gz", "packed.jsonl"])
def test_a_file_of_any_encoding_is_read(tmp_path: Path, name: str, encoding: str) -> None:
    data = LINES.encode(encoding)
    path = tmp_path / name
    path.write_bytes(data if name == "p.jsonl" else gzip.compress(data))
    first, second = load(path)
    assert first.prompt == "Was ist 2 + 3 – „fünf“?"
    assert (second.id, second.prompt) == ("2", "q")


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_table_of_any_encoding_is_read(tmp_path: Path, encoding: str, mark: str) -> None:
    text = mark.join(["id", "prompt", "answer"]) + "\r\n" + mark.join(["a", '"é ""x"""', "5"])
    path = tmp_path / "p.csv"
    path.write_bytes(text.encode(encoding))
    (problem,) = load(path)
    assert (problem.id, problem.prompt) == ("a", 'é "x"')
    (tmp_path / "p.csv.gz").write_bytes(gzip.compress(text.encode(encoding)))
    assert load(tmp_path / "p.csv.gz") == [problem]


def test_a_table_may_have_rows_of_odd_lengths(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("prompt,answer,level\nq,5,easy,more,still\nr,6\n")
    first, second = load(path)
    assert first.meta == {"level": "easy"}
    assert second.meta == {}


def test_a_list_is_read_like_lines(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text('[{"prompt": "q", "answer": 1},\n {"prompt": "r", "answer": 2}]')
    assert [problem.prompt for problem in load(path)] == ["q", "r"]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"question": "q", "answer": "5"}, ("q", ["5"])),
        ({"Question": "q", "Answer": "5"}, ("q", ["5"])),
        ({" prompt ": "q", "target": "5"}, ("q", ["5"])),
        ({"problem": "q", "solution": "long", "answer": 5}, ("q", ["5"])),
        ({"prompt": "q", "question": "other", "answer": "5"}, ("q", ["5"])),
        ({"input": "q", "prompt": None, "expected": "5"}, ("q", ["5"])),
        ({"prompt": "q", "answer": "2+3=<<2+3=5>>5\n#### 5"}, ("q", ["5"])),
        ({"prompt": "q", "answer": "It is so.\n#### 1,234"}, ("q", ["1,234"])),
        ({"prompt": "q", "answer": "a #### b", "grading": "exact"}, ("q", ["a #### b"])),
        ({"prompt": "q", "answer": "####"}, ("q", ["####"])),
    ],
)
def test_columns_of_other_data_sets(
    row: dict[str, Any], expected: tuple[str, list[str]], tmp_path: Path
) -> None:
    (problem,) = problems(tmp_path, row)
    assert (problem.prompt, problem.reference["answers"]) == expected


def test_what_a_row_has_besides_is_kept(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, {"question": "q", "Answer": "5", "Level": 3, "label": "other"})
    assert problem.meta == {"Level": 3, "label": "other"}


def test_choices_are_a_list_however_they_are_written(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": "q", "answer": "B", "choices": ["x", "y"]},
        {"prompt": "q", "answer": "B", "choices": "['x', 'y']"},
        {"prompt": "q", "answer": "B", "choices": {"text": ["x", "y"], "label": ["A", "B"]}},
        {"prompt": "q", "answer": "B", "options": ["x", "y"]},
    ]
    assert {problem.prompt for problem in problems(tmp_path, *rows)} == {"q\n\nA) x\nB) y"}


@pytest.mark.parametrize("missing", [None, "", float("nan")])
def test_a_missing_id_is_the_number_of_the_row(tmp_path: Path, missing: object) -> None:
    rows = [{"id": missing, "prompt": f"q{n}", "answer": "x"} for n in range(3)]
    assert [problem.id for problem in problems(tmp_path, *rows)] == ["1", "2", "3"]


def test_an_id_may_be_a_number(tmp_path: Path) -> None:
    rows = [{"id": given, "prompt": "q", "answer": "x"} for given in (7, 8.0, 0)]
    assert [problem.id for problem in problems(tmp_path, *rows)] == ["7", "8", "0"]


@pytest.mark.parametrize("column", ["prompt", "answer", "id"])
def test_a_row_that_is_no_text_is_known(tmp_path: Path, column: str) -> None:
    bad = {"prompt": "q", "answer": "x", "id": "a"} | {column: "a\ud83d"}
    assert [
        problem.is_text for problem in problems(tmp_path, bad, {"prompt": "q", "answer": "x"})
    ] == [
        False,
        True,
    ]


def test_bytes_of_another_encoding_spoil_their_row_alone(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(b'{"prompt": "\xe9", "answer": "x"}\n{"prompt": "\xc3\xa9", "answer": "x"}\n')
    assert [problem.is_text for problem in load(path)] == [False, True]


def test_a_column_that_is_missing_is_said_with_those_that_are_there(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"problem 1: \"prompt\" must be a text .*'text', 'x'"):
        problems(tmp_path, {"text": "q", "x": 1})


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("p.jsonl.gz", gzip.compress(b'{"prompt": "q"}', mtime=0)[:-6]),
        ("p.jsonl", b"\x1f\x8b broken"),
        ("p.jsonl", '{"prompt"'.encode("utf-16")[:-1]),
        ("p.jsonl", b"[" * 100_000),
        ("p.csv", b'prompt\n"never closed'),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(BenchmarkError, match=name):
        load(path)


def test_values_of_any_type_are_kept_in_the_records(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    row = {
        "question": "q",
        "answer": 5,
        "day": dt.date(2026, 1, 2),
        "price": decimal.Decimal("1.50"),
        "raw": b"\x00\xff",
        "nested": {"a": [1, None]},
        "nothing": float("nan"),
    }
    pq.write_table(pa.Table.from_pylist([row]), path)
    (problem,) = load(path)
    assert problem.reference["answers"] == ["5"]
    for meta in (problem.meta, {"huge": 10**40, "odd": {1: "a\ud83d"}, "set": {1}}):
        written = to_line(Record(**{**_fields(record_of()), "meta": meta}))
        assert from_line(written, Record) is not None


def _fields(record: Record) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__struct_fields__}


def test_rows_keep_their_order_and_blank_lines_are_none(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('\n{"a": 1}\r\n\r\n  \n\ufeff{"a": "x\u2028y"}', "utf-8")
    assert read_rows(path) == [{"a": 1}, {"a": "x\u2028y"}]
