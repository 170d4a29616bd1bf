"""Load the rows of a data set from local files, or from the hub with `datasets`."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from trio_beam.benchmark.common.encoding import decode
from trio_beam.benchmark.common.extra import import_extra
from trio_beam.benchmark.common.problem import BenchmarkError

#: Maximum length of a CSV field; some solutions exceed the csv module's default.
_CSV_FIELD = 1 << 24
_KINDS = (".parquet", ".jsonl", ".jsonl.gz", ".csv", ".csv.gz")
_GZIP = b"\x1f\x8b"


@attrs.frozen(kw_only=True)
class Source:
    """The location of a data set.

    Attributes:
        folder: its name below a data folder.
        repository: its name on the hub.
        config: its configuration on the hub; None: all of it.
        split: usually ``test``.
        file: prefix of its file names.
        columns: columns that each row must have.
        alone: stem of a single file with all rows, beside the folder; "": the folder's name.
        advice: further steps to get it, such as accepting its terms.
    """

    folder: str
    repository: str
    config: str | None
    split: str
    file: str
    columns: tuple[str, ...]
    alone: str = ""
    advice: str = ""

    def rows(self, data_dir: Path | None) -> list[dict[str, Any]]:
        """Load all rows, in order.

        Args:
            data_dir: a folder with files; None: the hub, whose package keeps a copy.

        Raises:
            BenchmarkError: there are none; the message says where to get them.
        """
        rows = self._from_hub() if data_dir is None else self._from_files(data_dir)
        if not rows:
            raise BenchmarkError(f"{self.folder}: the data has no rows")
        missing = [name for name in self.columns if name not in rows[0]]
        if missing:
            raise BenchmarkError(
                f"{self.folder}: the data has no column {missing[0]!r}; it has {', '.join(rows[0])}"
            )
        return rows

    def _from_files(self, data_dir: Path) -> list[dict[str, Any]]:
        if not data_dir.is_dir():
            raise BenchmarkError(f"benchmark.data_dir: there is no folder {data_dir}")
        files = self._files(data_dir)
        alone = f"{self.alone or self.folder}.jsonl"
        if not files:
            raise BenchmarkError(
                f"{self.folder}: {data_dir} has no file for it; put one of {self.file}*.parquet, "
                f"{self.file}*.jsonl or {self.file}*.csv into {data_dir / self.folder} "
                f"(they are on the hub in {self.repository}), or one named {alone} beside it"
            )
        return [row for file in files for row in read_rows(file)]

    def _files(self, data_dir: Path) -> list[Path]:
        beside = [data_dir / f"{self.alone or self.folder}{kind}" for kind in _KINDS]
        for file in beside:
            if file.is_file():
                return [file]
        folder = data_dir / self.folder
        root = folder if folder.is_dir() else data_dir
        found = sorted(path for path in root.rglob(f"{self.file}*") if path.name.endswith(_KINDS))
        # A copy of the complete repository has a folder per config.
        chosen = [path for path in found if self.config in path.parent.parts]
        found = chosen or found
        # The same rows in two formats are one data set.
        kinds = [kind for kind in _KINDS if any(path.name.endswith(kind) for path in found)]
        return [path for path in found if path.name.endswith(kinds[0])] if kinds else []

    def _from_hub(self) -> list[dict[str, Any]]:
        datasets = import_extra("datasets")
        try:
            loaded = datasets.load_dataset(self.repository, self.config, split=self.split)
        except Exception as error:
            raise BenchmarkError(self._why_not(error)) from error
        return [dict(row) for row in loaded]

    def _why_not(self, error: Exception) -> str:
        words = str(error).strip().split("\n", 1)[0][:200]
        advice = f" {self.advice}" if self.advice else ""
        return (
            f"{self.folder}: {self.repository} could not be loaded from the hub "
            f"({type(error).__name__}: {words}).{advice} Without a connection: copy its files to "
            f"DIR/{self.folder} and add benchmark.data_dir=DIR; or take humaneval or "
            "reasoning_gym:chain_sum, which need no download"
        )


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a Parquet, JSON lines or CSV file, according to its name.

    Text may be UTF-8 or UTF-16, with or without a byte order mark, and gzipped. Invalid bytes become lone
    surrogates, which JSON may contain too; the caller must check for them.

    Raises:
        BenchmarkError: it cannot be read.
    """
    try:
        if path.suffix == ".parquet":
            table = import_extra("pyarrow.parquet").read_table(path)
            return [dict(row) for row in table.to_pylist()]
        text = _text(path)
        named_csv = ".csv" in path.suffixes[-2:] or ".tsv" in path.suffixes[-2:]
        return list(_csv(text) if named_csv else _json_lines(text, path))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise BenchmarkError(f"{path} cannot be read: {error}") from error
    except ValueError as error:  # pyarrow's content errors are
        raise BenchmarkError(f"{path} is not what its name says: {error}") from error


def _text(path: Path) -> str:
    data = path.read_bytes()
    if path.suffix == ".gz" or data.startswith(_GZIP):
        data = gzip.decompress(data)
    return decode(data, "surrogateescape")


def _csv(text: str) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(_CSV_FIELD)
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    for row in csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter):
        # Cells beyond the last column have no name, and short rows have missing values.
        yield {name: value for name, value in row.items() if name is not None and value is not None}


def _json_lines(text: str, path: Path) -> Iterator[dict[str, Any]]:
    if re.match(r"\s*\[\s*\{", text):
        rows = [("the list", row) for row in _json(text, path, "the list")]
    else:
        lines = ((f"line {n}", line.strip("\ufeff")) for n, line in enumerate(text.split("\n"), 1))
        rows = [(where, _json(line, path, where)) for where, line in lines if line.strip()]
    for where, row in rows:
        if not isinstance(row, dict):
            raise BenchmarkError(f"{path}, {where}: not an object")
        yield row


def _json(text: str, path: Path, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BenchmarkError(f"{path}, {where}: not JSON ({error})") from error


def first(rows: Sequence[dict[str, Any]], count: int | None) -> Sequence[dict[str, Any]]:
    """Return the first `count` rows, or all."""
    return rows if count is None else rows[:count]
