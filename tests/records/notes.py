"""A type of records, as an application might have one, and files of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st

from trio_beam.records import RecordFile, read_records


class Note(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    text: str = ""
    count: int = 0
    share: float | None = 0.25
    scores: list[float | None] = []
    votes: list[tuple[str, float]] = []
    meta: dict[str, Any] = {}


notes = st.builds(
    Note,
    id=st.sampled_from("abcd"),
    text=st.text(st.characters(codec="utf-8"), max_size=12),
    count=st.integers(-(2**63), 2**63 - 1),
    share=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    votes=st.lists(st.tuples(st.text(st.characters(codec="utf-8"), max_size=3), st.floats(0, 1))),
    meta=st.dictionaries(st.sampled_from("zyx"), st.booleans() | st.integers(0, 9)),
)


def id_of(note: Note) -> str:
    return note.id


def opened(path: Path, said: list[str] | None = None) -> RecordFile[str, Note]:
    notice = (lambda line: None) if said is None else said.append
    return RecordFile(path, Note, id_of, notice=notice)


def fill(path: Path, *written: Note) -> bytes:
    """Write records, and return the file."""
    with opened(path) as file:
        for note in written:
            file.append(note)
    return path.read_bytes() if path.exists() else b""


def there(path: Path) -> list[Note]:
    return read_records(path, Note, id_of)


@contextmanager
def a_path() -> Iterator[Path]:
    """Of a file in a fresh folder for each example."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name) / "notes.jsonl"
