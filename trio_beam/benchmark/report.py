"""The files of a finished run: ``results.json``, ``results.csv``, the report and its plots."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from trio_beam.benchmark.common.problem import BenchmarkError, Problem
from trio_beam.benchmark.files import write_atomic
from trio_beam.benchmark.origin import Origin
from trio_beam.benchmark.page import as_html
from trio_beam.benchmark.samples import AtK
from trio_beam.benchmark.series import Series
from trio_beam.benchmark.summary import Pair, Row
from trio_beam.benchmark.tables import Results, as_markdown

_COLUMNS = (
    "benchmark",
    "model",
    "strategy",
    "label",
    "configuration",
    "problems",
    "wanted",
    "graded",
    "passed",
    "failures",
    "pass_rate",
    "pass_rate_low",
    "pass_rate_high",
    "seconds_per_problem",
    "total_tokens",
    "tokens_per_problem",
    "generated_tokens",
    "width",
    "samples",
)


def write_report(
    results: Results, folder: Path, *, origin: Origin, problems: Sequence[Problem], plots: bool
) -> list[Path]:
    """Write all files anew and return their paths. An old file is replaced whole or not at all.

    Args:
        results: of a run, or of a sweep.
        folder: where they are written; it is made.
        origin: of the report.
        problems: the questions that are shown with their answers, in their order.
        plots: whether plots are drawn.

    Raises:
        BenchmarkError: a file cannot be written; or plots are wanted, and matplotlib is missing.
    """
    data = json.dumps(as_json(results), indent=2, ensure_ascii=False)
    written = [
        write_atomic(folder / "results.json", data),
        write_atomic(folder / "results.csv", as_csv(results)),
    ]
    drawn = _plots(results, folder) if plots else []
    pictures = [path.relative_to(folder).as_posix() for path in drawn if path.suffix == ".svg"]
    page = as_html(results, origin, pictures, problems)
    return [
        *written,
        *drawn,
        write_atomic(folder / "report.md", _markdown(results, origin, pictures)),
        write_atomic(folder / "report.html", page),
    ]


def as_json(results: Results) -> dict[str, Any]:
    """Return rows, comparisons and failures as plain data."""
    return {
        "strategies": [
            _row(row, name) for row, name in zip(results.rows, results.names, strict=True)
        ],
        "comparisons": [_pair(pair, results) for pair in results.pairs],
        "samples": [_at_k(one, name) for name, found in results.at_each_k() for one in found],
        "failures": [
            {"label": name, "problem": record.problem, "error": record.error}
            for row, name in zip(results.rows, results.names, strict=True)
            for record in row.failures
        ],
    }


def as_csv(results: Results) -> str:
    """Return a CSV line per strategy."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(as_json(results)["strategies"])
    return text.getvalue()


def series_of(results: Results) -> list[Series]:
    """Return the data of the plots."""
    curves = {
        name: tuple(
            (one.tokens, one.passed.value, None if one.majority is None else one.majority.value)
            for one in found
        )
        for name, found in results.at_each_k()
    }
    return [
        Series(
            label=name,
            group=row.batch.strategy,
            passed=row.passed,
            total=row.graded,
            width=row.batch.width,
            tokens=tuple(record.completion_tokens for record in row.batch.records),
            seconds=tuple(record.seconds for record in row.batch.records),
            round_scores=tuple(tuple(record.round_scores) for record in row.batch.records),
            at_k=curves.get(name, ()),
        )
        for row, name in zip(results.rows, results.names, strict=True)
        if row.problems
    ]


def _plots(results: Results, folder: Path) -> list[Path]:
    try:
        from trio_beam.benchmark.plots import draw_plots  # noqa: PLC0415  # matplotlib takes a second
    except ImportError:
        raise BenchmarkError(
            'plots need matplotlib: install the extra "bench", or say output.plots=false'
        ) from None
    models = ", ".join(dict.fromkeys(row.batch.model for row in results.rows))
    title = f"{results.benchmarks()}, {models}"
    return list(draw_plots(series_of(results), folder / "plots", title=title))


def _markdown(results: Results, origin: Origin, pictures: Sequence[str]) -> str:
    parts = [
        f"# {results.benchmarks()}",
        f"{origin.date}, {origin.version}, {origin.machine}",
        f"```sh\n{origin.command}\n```" if origin.command else "",
        as_markdown(results),
        *(f"![{name}]({name})" for name in pictures),
        "Questions and answers: [report.html](report.html)",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _row(row: Row, name: str) -> dict[str, Any]:
    batch, interval = row.batch, row.interval
    return {
        "benchmark": batch.benchmark,
        "model": batch.model,
        "strategy": batch.strategy,
        "label": name,
        "configuration": batch.configuration,
        "problems": row.problems,
        "wanted": batch.wanted,
        "graded": row.graded,
        "passed": row.passed,
        "failures": len(row.failures),
        "pass_rate": row.pass_rate,
        "pass_rate_low": interval and interval.low,
        "pass_rate_high": interval and interval.high,
        "seconds_per_problem": row.seconds,
        "total_tokens": row.total_tokens,
        "tokens_per_problem": row.tokens_per_problem,
        "generated_tokens": row.generated_tokens,
        "width": batch.width,
        "samples": batch.samples,
    }


def _at_k(one: AtK, name: str) -> dict[str, Any]:
    said: dict[str, Any] = {"label": name, "k": one.k, "generated_tokens": one.tokens}
    means = {"avg_at_k": one.average, "pass_at_k": one.passed, "maj_at_k": one.majority}
    for key, mean in means.items():
        said[key] = mean and mean.value
        said[f"{key}_error"] = mean.error if mean and math.isfinite(mean.error) else None
    return said


def _pair(pair: Pair, results: Results) -> dict[str, Any]:
    said = attrs.asdict(
        pair, filter=lambda field, _: field.name not in ("first", "second", "interval")
    )
    return {
        "first": results.name(pair.first),
        "second": results.name(pair.second),
        **said,
        "difference_low": pair.interval.low,
        "difference_high": pair.interval.high,
    }
