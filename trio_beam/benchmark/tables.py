"""The table of a run, its comparisons and its summary, for a terminal, for a file, and as Markdown.

If the output is not a terminal, the table is in ASCII with the original's cells, for scripts that parse
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs
from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from trio_beam.benchmark.progress import format_duration
from trio_beam.benchmark.statistics import Interval
from trio_beam.benchmark.summary import Batch, Pair, Row, compare, distinct, names, summarise

#: As the original prints them.
HEADERS = (
    "Benchmark",
    "Model",
    "Strategy",
    "Pass Rate (%)",
    "Avg Time (s)",
    "Total Tokens",
    "Avg Tokens/Problem",
    "Problems",
)
#: The leading columns, which are not numbers.
_TEXTS = 3
_PAIR_HEADERS = ("Strategies", "Difference", "Only the first", "Only the second", "p", "p (Holm)")
#: With more strategies, only comparisons with the first are printed; the files have all of them.
_MAX_ALL_PAIRS = 4
#: Length in characters of the bar of a pass rate of 100 %.
_BAR = 40
_RULE = "=" * 110


@attrs.frozen
class Results:
    """The results of one run, or of all runs of a sweep.

    Attributes:
        rows: highest pass rate first.
        names: names of the rows' strategies.
        pairs: comparisons of all pairs of strategies.
    """

    rows: Sequence[Row]
    names: Sequence[str]
    pairs: Sequence[Pair]

    @classmethod
    def of(cls, batches: Sequence[Batch]) -> Results:
        """Summarise, compare and sort."""
        kept = distinct(batches)
        found = zip((summarise(batch) for batch in kept), names(kept), strict=True)
        ranked = sorted(found, key=lambda one: 1 if (r := one[0].pass_rate) is None else -r)
        return cls([row for row, _ in ranked], [name for _, name in ranked], compare(kept))

    def name(self, batch: Batch) -> str:
        """Return the name of a batch's row."""
        batches = [row.batch for row in self.rows]
        return self.names[batches.index(batch)]

    def benchmarks(self) -> str:
        """Name the benchmarks, for a heading."""
        return ", ".join(dict.fromkeys(row.batch.benchmark for row in self.rows))

    def shown_pairs(self) -> list[Pair]:
        """Return the comparisons to print; the files have all of them."""
        if len(self.rows) <= _MAX_ALL_PAIRS:
            return list(self.pairs)
        first = self.pairs[0].first if self.pairs else None
        return [pair for pair in self.pairs if pair.first == first]

    @property
    def graded(self) -> bool:
        """Whether there is any pass rate."""
        return any(row.pass_rate is not None for row in self.rows)


def cells(results: Results, *, intervals: bool = True) -> list[tuple[str, ...]]:
    """Return the table's cells, row by row.

    Args:
        results: of a run.
        intervals: whether pass rates are followed by their intervals.
    """
    return [
        (
            row.batch.benchmark,
            row.batch.model,
            name,
            _rate(row) if intervals else _rate(row).partition(" [")[0],
            f"{row.seconds:.2f}",
            f"{row.total_tokens:,}",
            f"{row.tokens_per_problem:.1f}",
            f"{row.problems}" if row.problems == row.batch.wanted else _part(row),
        )
        for row, name in zip(results.rows, results.names, strict=True)
    ]


def pair_cells(results: Results) -> list[tuple[str, ...]]:
    """Return the comparisons' cells, row by row."""
    return [
        (
            f"{results.name(pair.first)} - {results.name(pair.second)}",
            f"{100 * pair.difference:+.1f} {_span(pair.interval)}",
            str(pair.only_first),
            str(pair.only_second),
            f"{pair.p:.3g}",
            f"{pair.adjusted_p:.3g}",
        )
        for pair in results.shown_pairs()
    ]


def show(results: Results, console: Console) -> None:
    """Print the table, the comparisons and the summary."""
    look = _ForTerminals() if console.is_terminal else _ForFiles()
    for part in _parts(results, look):
        console.print(part)


def markdown(headers: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> str:
    """Return a table in Markdown; the first `texts` columns are not numbers."""
    rule = ["---" if index < texts else "---:" for index in range(len(headers))]
    lines = [headers, rule, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_markdown(results: Results) -> str:
    """Return the table and the comparisons in Markdown."""
    parts = [markdown(HEADERS, cells(results), _TEXTS)]
    if results.pairs:
        parts.append(markdown(_PAIR_HEADERS, pair_cells(results), 1))
    return "\n\n".join(parts)


@attrs.frozen
class _ForTerminals:
    """The style for terminals."""

    bar: str = "█"
    box: box.Box = box.ROUNDED
    lines: bool = False
    intervals: bool = True

    def title(self, text: str) -> Text:
        return Text(f"\n{text}", style="bold")


@attrs.frozen
class _ForFiles(_ForTerminals):
    """The original's style."""

    bar: str = "#"
    box: box.Box = box.ASCII_DOUBLE_HEAD
    lines: bool = True
    intervals: bool = False

    def title(self, text: str) -> Text:
        return Text(f"\n{_RULE}\n{text}\n{_RULE}")


def _parts(results: Results, look: _ForTerminals) -> Iterator[RenderableType]:
    yield look.title(f"{results.benchmarks().upper()} BENCHMARK RESULTS")
    yield _table(HEADERS, cells(results, intervals=look.intervals), _TEXTS, look)
    if results.rows and results.graded:
        yield Text(f"Best: {_best(results)}")
        yield Text(
            "In brackets: the 95 % interval of the pass rate (Wilson). Failures count as not passed."
        )
    if results.pairs:
        yield look.title("DIFFERENCES ON THE SAME PROBLEMS (in percentage points)")
        yield _table(_PAIR_HEADERS, pair_cells(results), 1, look)
        yield Text(
            "In brackets: 95 % (Newcombe). p: McNemar's exact test; Holm: for all comparisons."
        )
    yield look.title("SUMMARY")
    yield from map(Text, _bars(results, look.bar))
    yield from map(Text, _failures(results))


def _best(results: Results) -> str:
    first, *others = results.rows
    same = sum(row.pass_rate == first.pass_rate for row in others)
    if same:
        return f"none, {same + 1} have a pass rate of {_rate(first)}"
    return f"{results.names[0]}, pass rate {_rate(first)}, {first.seconds:.2f} s"


def _table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], texts: int, look: _ForTerminals
) -> Table:
    table = Table(box=look.box, show_lines=look.lines)
    for index, header in enumerate(headers):
        table.add_column(header, justify="left" if index < texts else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _bars(results: Results, character: str) -> Iterator[str]:
    width = max((len(name) for name in results.names), default=0)
    named = list(zip(results.rows, results.names, strict=True))
    if results.graded:
        yield "Pass rate"
        for row, name in named:
            bar = character * round(_BAR * (row.pass_rate or 0))
            yield f"  {name:{width}}  {bar:{_BAR}} {_rate(row)}"
    yield "Time"
    for row, name in sorted(named, key=lambda one: one[0].seconds):
        yield f"  {name:{width}}  {row.seconds:.2f} s a problem"
    yield "Tokens"
    for row, name in sorted(named, key=lambda one: one[0].tokens_per_problem):
        generated = row.generated_tokens / row.problems if row.problems else 0
        yield (
            f"  {name:{width}}  {row.tokens_per_problem:.0f} a problem,"
            f" {generated:.0f} of them generated"
        )


def _failures(results: Results) -> Iterator[str]:
    failures = [(name, one) for row, name in _named(results) for one in row.failures]
    if failures:
        yield "\nFailures (counted as not passed)"
    for name, record in failures:
        yield f"  {name}: {record.problem} after {format_duration(record.seconds)}: {record.error}"


def _named(results: Results) -> Iterator[tuple[Row, str]]:
    return zip(results.rows, results.names, strict=True)


def _rate(row: Row) -> str:
    if row.pass_rate is None or row.interval is None:
        return "not graded" if row.problems else "-"
    return f"{100 * row.pass_rate:.1f}% {_span(row.interval)}"


def _span(interval: Interval) -> str:
    return f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _part(row: Row) -> str:
    return f"{row.problems} of {row.batch.wanted}"
