"""The table of a run, its comparisons and its summary: for a terminal, for a file, and as Markdown.

On a terminal and in Markdown, what is the same in all rows stands above the table, which fits 80 columns.
Where the output is no terminal, the table is in ASCII and has the original's columns, for the scripts of its
users that read them. What was not measured is "-".
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
from trio_beam.benchmark.summary import (
    Batch,
    Pair,
    Row,
    compare,
    distinct,
    names,
    passes,
    summarise,
)

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
#: The columns in front, which are no numbers.
_TEXTS = 3
#: The narrow table's. Of these only those in front of the strategy are left out where they do not differ.
_NARROW = (
    "Benchmark",
    "Model",
    "Strategy",
    "Passed",
    "Pass rate, 95 %",
    "Time (s)",
    "Tokens",
)
_NOTHING = "-"
PAIR_HEADERS = ("Strategies", "Difference", "Only the first", "Only the second", "p", "p (Holm)")
_NARROW_PAIRS = ("Strategies", "Difference, 95 %", "Only 1st, 2nd", "p (Holm)")
#: With more strategies, each is compared with the first one only, and the files have all comparisons.
_MAX_ALL_PAIRS = 4
#: Characters of the bar of a pass rate of 100 %.
_BAR = 40
_RULE = "=" * 110


@attrs.frozen
class Results:
    """The results of one run, or of all runs of a sweep.

    Attributes:
        rows: the highest pass rate first.
        names: of the rows' strategies.
        pairs: each two of the strategies, compared.
    """

    rows: Sequence[Row]
    names: Sequence[str]
    pairs: Sequence[Pair]

    @classmethod
    def of(cls, batches: Sequence[Batch]) -> Results:
        """Add up, compare and sort."""
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
        """Return the comparisons to be printed; the files have all."""
        if len(self.rows) <= _MAX_ALL_PAIRS:
            return list(self.pairs)
        first = self.pairs[0].first if self.pairs else None
        return [pair for pair in self.pairs if pair.first == first]

    @property
    def graded(self) -> bool:
        """Return whether there is any pass rate."""
        return any(row.pass_rate is not None for row in self.rows)

    @property
    def ranked(self) -> bool:
        """Return whether the pass rates are of the same problems, and so one may be the best."""
        graded = [frozenset(passes(row.batch)) for row in self.rows if row.graded]
        return len(set(graded)) == 1


def cells(results: Results) -> list[tuple[str, ...]]:
    """Return the cells of the original's table, row by row."""
    return [
        (
            row.batch.benchmark,
            row.batch.model,
            name,
            _rate(row).partition(" [")[0],
            _number(row.seconds, ".2f"),
            _number(row.total_tokens if row.problems else None, ","),
            _number(row.tokens_per_problem, ".1f"),
            f"{row.problems}" if row.problems == row.batch.wanted else _part(row),
        )
        for row, name in _named(results)
    ]


def narrow_cells(results: Results) -> tuple[str, Sequence[str], list[Sequence[str]]]:
    """Return what is the same in all rows as a line, and the headers and cells of the rest.

    Times and tokens are means of a problem.
    """
    rows = [
        (
            row.batch.benchmark,
            row.batch.model,
            name,
            _passed(row),
            _rate(row),
            _number(row.seconds, ".2f"),
            _number(row.tokens_per_problem, ".0f"),
        )
        for row, name in _named(results)
    ]
    kept = [
        index
        for index in range(len(_NARROW))
        if index >= _TEXTS - 1 or len({row[index] for row in rows}) > 1
    ]
    same = [rows[0][index] for index in range(len(_NARROW)) if rows and index not in kept]
    wanted = {row.batch.wanted for row in results.rows}
    if len(wanted) == 1:
        count = wanted.pop()
        same.append(f"{count} problem{'' if count == 1 else 's'}")
    return (
        ", ".join(same),
        [_NARROW[index] for index in kept],
        [[row[index] for index in kept] for row in rows],
    )


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
    """Print all of it."""
    look = _ForTerminals() if console.is_terminal else _ForFiles()
    for part in _parts(results, look):
        console.print(part)


def markdown(headers: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> str:
    """Write a table in Markdown; the first `texts` columns are no numbers."""
    rule = ["---" if index < texts else "---:" for index in range(len(headers))]
    lines = [headers, rule, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_markdown(results: Results) -> str:
    """Write the table and the comparisons in Markdown, with what is the same in all rows above."""
    same, headers, rows = narrow_cells(results)
    parts = [same, markdown(headers, rows, headers.index("Strategy") + 1)]
    if results.pairs:
        parts.append(markdown(PAIR_HEADERS, pair_cells(results), 1))
    return "\n\n".join(filter(None, parts))


class _ForTerminals:
    """For people: a table of 80 columns at most, which has everything."""

    def title(self, text: str) -> Text:
        return Text(f"\n{text}", style="bold")

    def table(self, results: Results) -> Iterator[RenderableType]:
        same, headers, rows = narrow_cells(results)
        yield self.title(same)
        yield _table(headers, [_breakable(row) for row in rows], headers.index("Strategy") + 1)

    def pairs(self, results: Results) -> RenderableType:
        rows = [
            (name, difference, f"{first}, {second}", holm)
            for name, difference, first, second, _, holm in pair_cells(results)
        ]
        return _table(_NARROW_PAIRS, [_breakable(row) for row in rows], 1)

    def summary(self, results: Results) -> Iterator[RenderableType]:
        yield from map(Text, _failures(results))


class _ForFiles(_ForTerminals):
    """The original's look, as wide as it has to be."""

    def title(self, text: str) -> Text:
        return Text(f"\n{_RULE}\n{text.upper()}\n{_RULE}")

    def table(self, results: Results) -> Iterator[RenderableType]:
        yield self.title(f"{results.benchmarks()} benchmark results")
        yield _ascii_table(HEADERS, cells(results), _TEXTS)

    def pairs(self, results: Results) -> RenderableType:
        return _ascii_table(PAIR_HEADERS, pair_cells(results), 1)

    def summary(self, results: Results) -> Iterator[RenderableType]:
        yield self.title("Summary")
        yield from map(Text, _bars(results))
        yield from map(Text, _failures(results))


def _parts(results: Results, look: _ForTerminals) -> Iterator[RenderableType]:
    yield from look.table(results)
    if results.ranked:
        yield Text(f"Best: {_best(results)}")
    if results.graded:
        yield Text(
            "In brackets: the 95 % interval of the pass rate (Wilson). Failures count as not passed."
        )
    if results.pairs:
        yield look.title("Differences on the same problems (in percentage points)")
        yield look.pairs(results)
        yield Text(
            "In brackets: 95 % (Newcombe). p: McNemar's exact test; Holm: for all comparisons."
        )
    yield from look.summary(results)


def _best(results: Results) -> str:
    """Name the row with the highest pass rate, the first one; others with the same leave none the best."""
    first = max(results.rows, key=lambda row: row.pass_rate or 0)
    same = sum(row.pass_rate == first.pass_rate for row in results.rows)
    if same > 1:
        return f"none, {same} have a pass rate of {_rate(first)}"
    return f"{results.names[0]}, pass rate {_rate(first)}, {_number(first.seconds, '.2f')} s"


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, header in enumerate(headers):
        left = index < texts
        table.add_column(
            header,
            justify="left" if left else "right",
            overflow="fold",
            no_wrap=not left and header != "Passed",
        )
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _ascii_table(headers: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> Table:
    table = Table(box=box.ASCII_DOUBLE_HEAD, show_lines=True)
    for index, header in enumerate(headers):
        table.add_column(header, justify="left" if index < texts else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _breakable(row: Sequence[str]) -> Sequence[str]:
    """Let a line end behind a comma of a strategy's name."""
    return [cell.replace(",", ", ").replace(",  ", ", ") for cell in row]


def _bars(results: Results) -> Iterator[str]:
    """A line for each strategy under each heading; those without a measurement come last, without a rank."""
    width = max((len(name) for name in results.names), default=0)
    if results.graded:
        yield "Pass rate"
        for row, name in _named(results):
            bar = "#" * round(_BAR * (row.pass_rate or 0))
            yield f"  {name:{width}}  {bar:{_BAR}} {_rate(row)}".rstrip()
    measured = [(row, name) for row, name in _named(results) if row.problems]
    missing = [f"  {name:{width}}  {_NOTHING}" for row, name in _named(results) if not row.problems]
    yield "Time"
    for row, name in sorted(measured, key=lambda one: one[0].seconds or 0):
        yield f"  {name:{width}}  {row.seconds:.2f} s a problem"
    yield from missing
    yield "Tokens"
    for row, name in sorted(measured, key=lambda one: one[0].tokens_per_problem or 0):
        generated = row.generated_tokens / row.problems
        yield (
            f"  {name:{width}}  {row.tokens_per_problem:.0f} a problem,"
            f" {generated:.0f} of them generated"
        )
    yield from missing


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
        return "not graded" if row.problems else _NOTHING
    return f"{100 * row.pass_rate:.1f}% {_span(row.interval)}"


def _passed(row: Row) -> str:
    """Passed of graded; and how many there are, if not all of them are graded or there."""
    if not row.problems:
        return _NOTHING
    words = [] if row.passed is None else [f"{row.passed} of {row.graded}"]
    if row.problems > row.graded:
        words.append(f"{row.problems - row.graded} not graded")
    if row.problems < row.batch.wanted:
        words.append(f"{row.batch.wanted - row.problems} missing")
    return ", ".join(words)


def _number(value: float | None, form: str) -> str:
    return _NOTHING if value is None else format(value, form)


def _span(interval: Interval) -> str:
    return f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _part(row: Row) -> str:
    return f"{row.problems} of {row.batch.wanted}"
