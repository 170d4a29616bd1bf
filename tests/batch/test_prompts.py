"""What is read as a prompt, in every format, and what is said of what is none."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from trio_beam.batch.prompts import BadPrompts, PromptRecord, read_prompts

CHAT = [{"role": "user", "content": 'Why?\n"Because", she said.'}]
ROWS: list[dict[str, Any]] = [
    {"id": "one", "prompt": 'Once, upon\na "time" 本'},
    {"id": "7", "messages": CHAT},
    {"id": "three", "prompt": " ", "search": {"strategy": "greedy", "max_tokens": 3}},
]
EXPECTED = [
    PromptRecord(id="one", prompt=ROWS[0]["prompt"]),
    PromptRecord(id="7", prompt=CHAT),
    PromptRecord(id="three", prompt=" ", search=ROWS[2]["search"]),
]


def json_lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["id", "prompt", "messages", "search", "answer"])
    writer.writeheader()
    for row in rows:
        flat = {k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()}
        writer.writerow(flat | {"answer": "42"})
    return text.getvalue().encode("utf-8-sig")


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    found: bytes = sink.getvalue().to_pybytes()
    return found


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstd,
}


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize(("kind", "write"), [(".jsonl", json_lines), (".csv", as_csv)])
def test_every_format_gives_the_same(
    kind: str, write: Callable[[Any], bytes], packed: str, tmp_path: Path
) -> None:
    path = tmp_path / f"prompts{kind}{packed}"
    path.write_bytes(PACKED[packed](write(ROWS)))
    assert list(read_prompts(path)) == EXPECTED


@pytest.mark.parametrize("packed", [one for one in PACKED if one])
def test_streams_behind_each_other_are_read_and_nothing_else_is_left_out(
    packed: str, tmp_path: Path
) -> None:
    path, pack = tmp_path / f"prompts.jsonl{packed}", PACKED[packed]
    streams = [pack(json_lines([row])) for row in ROWS]
    path.write_bytes(b"".join(streams))
    assert list(read_prompts(path)) == EXPECTED
    # The beginning of the last stream is damaged, so that it looks like none.
    path.write_bytes(b"".join(streams[:2]) + b"\1" + streams[2][1:])
    with pytest.raises(BadPrompts, match="cannot be read"):
        list(read_prompts(path))


@pytest.mark.parametrize("packed", [".gz", ".xz"])
def test_padding_is_no_prompt(packed: str, tmp_path: Path) -> None:
    path, pack = tmp_path / f"prompts.jsonl{packed}", PACKED[packed]
    path.write_bytes(pack(json_lines(ROWS[:2])) + bytes(20_000) + pack(json_lines(ROWS[2:])))
    assert list(read_prompts(path)) == EXPECTED


def test_two_columns_of_parquet_with_one_name_are_refused(tmp_path: Path) -> None:
    columns = [pa.array(["a"]), pa.array(["b"])]
    parquet.write_table(pa.table(columns, names=["prompt", "prompt"]), tmp_path / "p.parquet")
    with pytest.raises(BadPrompts, match="2 columns 'prompt'"):
        list(read_prompts(tmp_path / "p.parquet"))


@pytest.mark.parametrize("as_text", [False, True])
def test_parquet_gives_the_same(as_text: bool, tmp_path: Path) -> None:
    rows = [dict(row) for row in ROWS]
    for row in rows:
        for name in ("messages", "search"):
            if name in row and as_text:
                row[name] = json.dumps(row[name])
    names = ("id", "prompt", "messages", "search")
    columns = {name: [row.get(name) for row in rows] for name in names}
    parquet.write_table(pa.table(columns | {"other": [1, 2, 3]}), tmp_path / "prompts.parquet")
    assert list(read_prompts(tmp_path / "prompts.parquet")) == EXPECTED


def test_without_an_id_it_is_the_number_of_the_line(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"prompt": "a"}\r\n\r\n{"prompt": "b", "id": 9}\n{"prompt": "c"}'
        b'\n{"prompt": "d", "id": null}'
    )
    assert [record.id for record in read_prompts(path)] == ["1", "9", "4", "5"]


def test_what_a_struct_of_parquet_has_of_other_records_is_left_out(tmp_path: Path) -> None:
    call = {"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    rows: list[dict[str, Any]] = [
        {"messages": [*CHAT, {"role": "assistant", "tool_calls": [call]}, *CHAT], "search": {}},
        {"messages": [{"role": "user", "content": "a", "name": "me"}], "search": {"beam_width": 2}},
        {"messages": CHAT, "search": {"strategy": "greedy"}},
    ]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "prompts.parquet")
    found = list(read_prompts(tmp_path / "prompts.parquet"))
    assert [one.prompt for one in found] == [row["messages"] for row in rows]
    assert [one.search for one in found] == [row["search"] for row in rows]


BAD: dict[str, tuple[str, str]] = {
    "not json": ("{", "line 1: not JSON"),
    "a list": ("[1]", "record 1: an object is needed"),
    "an empty prompt": ('{"prompt": ""}', "record 1: prompt must"),
    "nothing": ("{}", "record 1: one of prompt and messages is needed"),
    "both": ('{"prompt": "a", "messages": []}', "one of prompt and messages"),
    "a number": ('{"prompt": 5}', "prompt must be a text"),
    "a text of messages": ('{"messages": "hi"}', "messages a list"),
    "no role": ('{"messages": [{"content": "a"}]}', "record 1"),
    "an id of true": ('{"prompt": "a", "id": true}', "id must be a text or a whole number"),
    "an empty id": ('{"prompt": "a", "id": ""}', "id must be"),
    "a search of a number": ('{"prompt": "a", "search": 3}', "search must be an object"),
    "deep": ("[" * 100_000, "line 1: not JSON"),
    "bytes": ("\udcff", "line 1: not JSON"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_said_with_its_place(name: str, tmp_path: Path) -> None:
    text, words = BAD[name]
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadPrompts, match=words) as caught:
        list(read_prompts(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("prompts.txt", b"hi", "no known format"),
        ("prompts", b"hi", "no known format"),
        ("prompts.jsonl.gz", b"hi", "cannot be read"),
        ("prompts.jsonl.xz", b"hi", "cannot be read"),
        ("prompts.jsonl.gz", gzip.compress(json_lines(ROWS))[:-20], "cannot be read"),
        ("prompts.jsonl.gz", gzip.compress(b"", mtime=0)[:10] + b"\x07", "cannot be read"),
        ("prompts.jsonl", b"\n", "has no prompts"),
        ("prompts.csv", b"id,prompt\n", "has no prompts"),
        ("prompts.csv", b"", "has no prompts"),
        ("prompts.csv", b"id;prompt\na;b\n", "no column 'prompt' or 'messages', but 'id;prompt'"),
        ("prompts.csv", b"id,prompt,prompt\na,b,c\n", "has 2 columns 'prompt': which"),
        ("prompts.jsonl.xz", b"", "cannot be read"),
        ("prompts.parquet", b"PAR1", "cannot be read as Parquet"),
        ("prompts.csv", b"prompt\na,b\n", "more fields than the header"),
        ("prompts.csv", b"prompt,search\na,{\n", "search is not JSON"),
        ("prompts.csv", b'prompt\n"a', "line"),
        ("prompts.csv", b"prompt\n\xff\n", "not UTF-8"),
    ],
)
def test_a_file_that_is_none_is_refused(
    name: str, content: bytes, words: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadPrompts, match=words):
        list(read_prompts(tmp_path / name))


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(BadPrompts):
            list(read_prompts(path))


@given(st.text(), st.text())
def test_the_digest_is_of_all_but_the_id(one: str, other: str) -> None:
    first = PromptRecord(id="a", prompt=one)
    assert first.digest == PromptRecord(id="b", prompt=one).digest
    assert (first.digest == PromptRecord(id="a", prompt=other).digest) == (one == other)
    assert first.digest != PromptRecord(id="a", prompt=one, search={"n": 1}).digest
