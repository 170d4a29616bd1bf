"""A record and its line: what is whole is told from what is damaged, however it is spelt."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.records.notes import Note, notes
from trio_beam.records import from_line, to_line

NOTE = Note(
    id="a", text="an answer\r\n— “é”", count=3, scores=[1e30, None], meta={"b": 1, "a": [2]}
)


@given(notes)
def test_a_record_comes_back_from_its_line(note: Note) -> None:
    line = to_line(note)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert from_line(line, Note) == note
    assert msgspec.json.decode(line)["id"] == note.id  # any reader of JSON lines


@given(notes, st.data())
def test_no_line_with_a_changed_byte_is_another_record(note: Note, data: st.DataObject) -> None:
    line = bytearray(to_line(note)[:-1])
    line[data.draw(st.integers(0, len(line) - 1))] ^= data.draw(st.integers(1, 255))
    # 1e5 and 1E5 are the same content.
    assert from_line(bytes(line), Note) in (None, note)


@given(notes, st.data())
def test_no_part_of_a_line_is_a_record(note: Note, data: st.DataObject) -> None:
    line = to_line(note)[:-1]
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(line))] * 2)))
    part = line[start:end]
    assert part == line or from_line(part, Note) is None


@pytest.mark.parametrize(
    "line",
    [b"", b"{}", b"null", b"[]", b'{"crc":"00000000"}', b'{"crc":0}', b"\0" * 400, b"[" * 10**5],
)
def test_what_is_no_record_is_none(line: bytes) -> None:
    assert from_line(line, Note) is None


SPELLINGS: dict[str, Callable[[bytes], bytes]] = {
    "as it was written": lambda line: line,
    "without its end": lambda line: line[:-1],
    "with Windows' end": lambda line: line[:-1] + b"\r\n",
    "behind a byte order mark": lambda line: b"\xef\xbb\xbf" + line,
    "with spaces around": lambda line: b" \t" + line[:-1] + b"  \r\n",
    "with spaces between": lambda line: json.dumps(json.loads(line)).encode(),
    "with escapes": lambda line: json.dumps(json.loads(line), separators=(",", ":")).encode(),
    "without escapes": lambda line: json.dumps(json.loads(line), ensure_ascii=False).encode(),
    "backwards": lambda line: json.dumps(dict(reversed(json.loads(line).items()))).encode(),
    "the checksum first": lambda line: json.dumps(
        {"crc": json.loads(line)["crc"], **json.loads(line)}
    ).encode(),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_same_content_is_whole_in_any_spelling(spelling: str) -> None:
    respelt = SPELLINGS[spelling](to_line(NOTE))
    assert from_line(respelt, Note) == NOTE
    damaged = respelt.replace(b"answer", b"answar")
    assert damaged != respelt
    assert from_line(damaged, Note) is None


@given(notes, st.randoms())
def test_nor_does_any_order_matter(note: Note, chance: object) -> None:
    members = list(json.loads(to_line(note)).items())
    chance.shuffle(members)  # type: ignore[attr-defined]
    assert from_line(json.dumps(dict(members)).encode(), Note) == note


@pytest.mark.parametrize("name", ["text", "count", "share", "scores", "votes", "meta"])
def test_a_record_of_another_version_is_read(name: str) -> None:
    """A member that is missing has its default, and one that is unknown is left out."""
    older = json.loads(to_line(NOTE))
    del older["crc"], older[name]
    body = json.dumps(older | {"of_tomorrow": {"x": [1]}}).encode()
    line = body[:-1] + b',"crc":"%08x"}' % zlib.crc32(body)
    read = from_line(line, Note)
    assert read is not None
    assert read.id == NOTE.id
    assert getattr(read, name) == getattr(Note(id="a"), name)


def test_what_another_version_added_is_under_its_checksum_too() -> None:
    class Later(Note, frozen=True, kw_only=True):
        added: dict[str, int]

    line = to_line(Later(id="a", added={"b": 1}))
    respelt = json.dumps(json.loads(line)).encode()
    assert from_line(line, Note) == from_line(respelt, Note) == Note(id="a")
    assert from_line(respelt.replace(b'"b": 1', b'"b": 2'), Note) is None


def test_a_record_without_what_it_must_have_is_none() -> None:
    body = b'{"text":"x"}'
    assert from_line(body[:-1] + b',"crc":"%08x"}' % zlib.crc32(body), Note) is None


@pytest.mark.parametrize("value", ["\ud800", 1 << 80, object, {1: {2: "\udfff"}}, {"a": {3}}])
def test_any_value_has_a_form(value: object) -> None:
    line = to_line(Note(id="a", text="x", meta={"value": value}))
    read = from_line(line, Note)
    assert read is not None
    assert to_line(read) == line
