"""The answers of a run as Parquet, which pandas, Polars, DuckDB and Spark read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from trio_beam.batch.folder import ANSWERS, Answer
from trio_beam.errors import TrioBeamError
from trio_beam.records import from_line

PARQUET = "results.parquet"
_AT_ONCE = 1000
#: Columns of objects, as JSON.
_AS_JSON = ("tool_calls", "beams")


def check_pyarrow() -> None:
    """Raise `TrioBeamError` if Parquet cannot be written."""
    try:
        import pyarrow  # noqa: F401, ICN001, PLC0415  # an extra
    except ModuleNotFoundError:
        raise TrioBeamError('Parquet needs an extra: pip install "trio-beam[batch]"') from None


def write_parquet(folder: Path, notice: Callable[[str], object]) -> None:
    """Write ``results.parquet`` from ``results.jsonl``, in the same order, a thousand rows at a time.

    Raises:
        TrioBeamError: it cannot be written.
    """
    import pyarrow as pa  # noqa: PLC0415  # an extra
    from pyarrow import parquet  # noqa: PLC0415

    votes = pa.list_(pa.struct([("answer", pa.string()), ("share", pa.float64())]))
    kinds = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
    given = {field.name: field.type for field in msgspec.structs.fields(Answer)}
    special = {"step_scores": pa.list_(pa.float64()), "votes": votes}
    special |= dict.fromkeys(_AS_JSON, pa.string())
    columns = {name: kinds[_plain(kind)] for name, kind in given.items() if name not in special}
    schema = pa.schema([*columns.items(), *special.items()])
    new = folder / f"{PARQUET}.new"
    try:
        with parquet.ParquetWriter(new, schema) as writer, (folder / ANSWERS).open("rb") as lines:
            rows: list[dict[str, Any]] = []
            for line in lines:
                if (answer := from_line(line, Answer)) is not None:
                    rows.append(_row(answer))
                if len(rows) == _AT_ONCE:
                    writer.write_table(pa.Table.from_pylist(rows, schema))
                    rows = []
            writer.write_table(pa.Table.from_pylist(rows, schema))
        new.replace(folder / PARQUET)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise TrioBeamError(f"{folder / PARQUET} cannot be written: {error}") from None
    notice(f"{folder / PARQUET} has the same as Parquet")


def _plain(kind: Any) -> type:
    """Return the type of a field without its None."""
    found = [one for one in getattr(kind, "__args__", (kind,)) if one is not type(None)]
    plain: type = found[0]
    return plain


def _row(answer: Answer) -> dict[str, Any]:
    row = msgspec.structs.asdict(answer)
    row["votes"] = [{"answer": name, "share": share} for name, share in answer.votes]
    for name in _AS_JSON:
        row[name] = msgspec.json.encode(row[name]).decode() if row[name] else None
    return row
