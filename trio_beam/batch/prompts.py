"""Read prompts from JSON lines, CSV or Parquet, compressed or not, one record at a time."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Any, Protocol, TypeAlias, cast

import attrs
import msgspec

from trio_beam.core.prompt import PromptLike, check_prompt
from trio_beam.errors import ConfigError, TrioBeamError
from trio_beam.records.identity import digest_of

_JSON_LINES = (".jsonl", ".ndjson", ".json")
_FORMATS = (
    f"JSON lines ({', '.join(_JSON_LINES)}), .csv and .parquet, also with .gz, .bz2, .xz or .zst"
)
#: Longer fields of CSV are refused by Python's reader unless it is told.
_LONGEST_FIELD = 1 << 30
#: What is read of a record.
_MEMBERS = ("id", "prompt", "messages", "search")

#: Numbers of records, and what each has.
_Rows: TypeAlias = Generator[tuple[int, Any], None, None]


class BadPrompts(TrioBeamError):
    """The prompts cannot be read; says where and why."""


@attrs.frozen(kw_only=True)
class PromptRecord:
    """One prompt.

    Attributes:
        id: unique in the file.
        prompt: a text, or messages.
        search: what its search has otherwise than the run: a strategy's name and parameters.
    """

    id: str
    prompt: PromptLike
    search: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def digest(self) -> str:
        """Digest of all but the id."""
        return digest_of({"prompt": self.prompt, "search": dict(self.search)})


def read_prompts(path: Path) -> Iterator[PromptRecord]:
    """Yield the records of a file, in order.

    Each has ``prompt`` (a text) or ``messages`` (a list of messages), an ``id`` (else the number of its line)
    and perhaps ``search``, an object with parameters of its own. Other members are ignored. In CSV,
    ``messages`` and ``search`` are JSON.

    Raises:
        BadPrompts: the file or a record in it cannot be read, there is none, or the file changes meanwhile.
    """
    try:
        rows, before = _rows(path), _state(path)
        number = 0
        with closing(rows):
            for number, row in rows:
                yield _record(row, number, path)
        if not number:
            raise BadPrompts(f"{path} has no prompts")
        if _state(path) != before:
            raise BadPrompts(f"{path} was changed while it was read: begin again once it is whole")
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        words = getattr(error, "strerror", None) or error
        raise BadPrompts(f"{path} cannot be read: {words}") from None
    except UnicodeDecodeError as error:
        raise BadPrompts(f"{path} is not UTF-8: {error.reason}") from None


def _state(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _rows(path: Path) -> _Rows:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compressed = suffixes.pop() if suffixes and suffixes[-1] in _OPENERS else ""
    kind = suffixes[-1] if suffixes else ""
    if kind == ".parquet" and not compressed:
        return _parquet(path)
    if kind not in (*_JSON_LINES, ".csv"):
        raise BadPrompts(f"{path} has no known format: name it {_FORMATS}")
    opened = _OPENERS[compressed](path)
    return _csv(opened, path) if kind == ".csv" else _json_lines(opened, path)


def _zst(path: Path) -> IO[bytes]:
    arrow = _pyarrow("Zstandard")
    stream = arrow.CompressedInputStream(arrow.OSFile(str(path)), "zstd")
    return io.BufferedReader(stream)  # which can read lines


def _plain(path: Path) -> IO[bytes]:
    return path.open("rb")


class _Streams(io.RawIOBase):
    """What compressed streams, one behind the other in a file, decompress to.

    Python's own readers of bz2 and xz take what is behind a stream and is none, such as a damaged second one,
    for the end of the file; here it is an error.

    Args:
        file: is closed with this.
        make: returns the decompressor of a stream.
    """

    def __init__(self, file: IO[bytes], make: Callable[[], Any]) -> None:
        self._file = file
        self._make = make
        self._decoder = make()
        self._within = True  # an empty file is no stream either

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        data = b""
        while not data:
            coming = self._coming()
            if coming is None:
                return 0
            data = self._decoder.decompress(coming, len(buffer))
            self._within = not self._decoder.eof
        buffer[: len(data)] = data
        return len(data)

    def _coming(self) -> bytes | None:
        """Return the decompressor's next input, b"" if it has some left, or None at the end."""
        if self._within:
            if not self._decoder.needs_input:
                return b""
            if read := self._file.read(io.DEFAULT_BUFFER_SIZE):
                return read
            raise EOFError("it ends before its end-of-stream marker")
        behind: bytes = self._decoder.unused_data.lstrip(b"\0")  # padding
        while not behind:
            if not (read := self._file.read(io.DEFAULT_BUFFER_SIZE)):
                return None
            behind = read.lstrip(b"\0")
        self._decoder = self._make()
        return behind


def _bz2(path: Path) -> IO[bytes]:
    return io.BufferedReader(_Streams(path.open("rb"), bz2.BZ2Decompressor))


def _xz(path: Path) -> IO[bytes]:
    return io.BufferedReader(_Streams(path.open("rb"), lzma.LZMADecompressor))


#: By suffix; "" for none.
_OPENERS: dict[str, Callable[[Path], Any]] = {
    "": _plain,
    ".gz": gzip.open,
    ".bz2": _bz2,
    ".xz": _xz,
    ".zst": _zst,
}


def _json_lines(file: IO[bytes], path: Path) -> _Rows:
    with file:
        for number, line in enumerate(file, 1):
            if not line.strip(b"\xef\xbb\xbf \t\r\n"):
                continue
            try:
                yield number, msgspec.json.decode(line.strip(b"\xef\xbb\xbf \t\r\n"))
            except (msgspec.DecodeError, RecursionError) as error:
                raise BadPrompts(f"{path}, line {number}: not JSON: {error}") from None


def _csv(file: IO[bytes], path: Path) -> _Rows:
    csv.field_size_limit(_LONGEST_FIELD)
    with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        rows = csv.DictReader(text, strict=True)
        try:
            _check_names(rows.fieldnames or (), path)
            for number, row in enumerate(rows, 1):
                if None in row:
                    raise BadPrompts(f"{path}, record {number}: more fields than the header names")
                there = {name: field for name, field in row.items() if field}  # none is empty
                for name in ("messages", "search"):
                    if name in there:
                        there[name] = _decoded(there[name], name, path, number)
                yield number, there
        except csv.Error as error:
            raise BadPrompts(f"{path}, line {rows.line_num}: {error}") from None


def _check_names(names: Sequence[str], path: Path) -> None:
    """Refuse columns that cannot be told apart, or that have no prompts."""
    for name in _MEMBERS:
        if names.count(name) > 1:
            raise BadPrompts(f"{path} has {names.count(name)} columns {name!r}: which?")
    if names and not {"prompt", "messages"} & set(names):
        shown = ", ".join(map(repr, names))
        raise BadPrompts(f"{path} has no column 'prompt' or 'messages', but {shown:.200}")


def _decoded(text: str, name: str, path: Path, number: int) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadPrompts(f"{path}, record {number}: {name} is not JSON: {error}") from None


def _parquet(path: Path) -> _Rows:
    arrow = _pyarrow("Parquet")
    from pyarrow import parquet  # noqa: PLC0415  # an extra

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            _check_names(file.schema_arrow.names, path)
            names = {*_MEMBERS} & set(file.schema_arrow.names)
            for batch in file.iter_batches(1024, columns=sorted(names)):
                for row in batch.to_pylist():
                    number += 1
                    there = _without_nulls(row)
                    for name in ("messages", "search"):
                        if isinstance(there.get(name), str):
                            there[name] = _decoded(there[name], name, path, number)
                    yield number, there
    except arrow.ArrowException as error:
        raise BadPrompts(f"{path} cannot be read as Parquet: {error}") from None


def _without_nulls(value: Any) -> Any:
    """Leave out the members that are null: a struct of Parquet has those of all records."""
    match value:
        case dict():
            return {key: _without_nulls(one) for key, one in value.items() if one is not None}
        case list():
            return [_without_nulls(one) for one in value]
        case _:
            return value


class _Arrow(Protocol):
    """The part of pyarrow that is used."""

    ArrowException: type[Exception]
    CompressedInputStream: Any
    OSFile: Any


def _pyarrow(what: str) -> _Arrow:
    try:
        import pyarrow as pa  # noqa: PLC0415  # an extra
    except ModuleNotFoundError:
        message = f'{what} needs an extra: pip install "trio-beam[batch]"'
        raise BadPrompts(message) from None
    return cast("_Arrow", pa)


def _record(row: Any, number: int, path: Path) -> PromptRecord:
    where = f"{path}, record {number}"
    if not isinstance(row, dict):
        raise BadPrompts(f"{where}: an object is needed, with prompt or messages, not {row!r:.60}")
    given = [name for name in ("prompt", "messages") if row.get(name) is not None]
    if len(given) != 1:
        raise BadPrompts(f"{where}: one of prompt and messages is needed")
    prompt, name = row[given[0]], row.get("id")
    name = number if name is None else name
    if isinstance(name, bool) or not isinstance(name, str | int) or name == "":
        raise BadPrompts(f"{where}: id must be a text or a whole number, not {name!r:.60}")
    search = row.get("search") or {}
    if not isinstance(search, dict):
        raise BadPrompts(f"{where}: search must be an object with parameters, not {search!r:.60}")
    if isinstance(prompt, str) != (given[0] == "prompt"):
        raise BadPrompts(f"{where}: prompt must be a text, and messages a list of messages")
    try:
        check_prompt(prompt)
    except ConfigError as error:
        raise BadPrompts(f"{where}: {error}") from None
    return PromptRecord(id=str(name), prompt=prompt, search=search)
