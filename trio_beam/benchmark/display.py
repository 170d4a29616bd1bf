"""Prints the results of a run: for people, or in the original's form.

On a terminal the table fits 80 columns, with what is the same in all rows above it. Elsewhere it is in ASCII
and has the original's columns, for the scripts of its users that read them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from trio_beam.benchmark.tables import (
    NOTHING,
    PAIR_HEADERS,
    SAMPLE_HEADERS,
    SAMPLE_NOTE,
    TEXTS,
    Results,
    cells,
    headers,
    named,
    narrow_cells,
    number,
    pair_cells,
    rate,
    sample_cells,
)
from trio_beam.command.output import format_duration
from trio_beam.core.price import describe_cost

_NARROW_PAIRS = ("Strategies", "Difference, 95 %", "Only 1st, 2nd", "p (Holm)")
#: Characters of the bar of a pass rate of 100 %.
_BAR = 40
_RULE = "=" * 110


def show(results: Results, console: Console) -> None:
    """Print all of it."""
    look = _ForTerminals() if console.is_terminal else _ForFiles()
    for part in _parts(results, look):
        console.print(part)


class _ForTerminals:
    """For people: a table of 80 columns at most, which has everything."""

    def title(self, text: str) -> Text:
        return Text(f"\n{text}", style="bold")

    def table(self, results: Results) -> Iterator[RenderableType]:
        same, heads, rows = narrow_cells(results)
        yield self.title(same)
        yield _table(heads, [_breakable(row) for row in rows], heads.index("Strategy") + 1)

    def pairs(self, results: Results) -> RenderableType:
        rows = [
            (name, difference, f"{first}, {second}", holm)
            for name, difference, first, second, _, holm in pair_cells(results)
        ]
        return _table(_NARROW_PAIRS, [_breakable(row) for row in rows], 1)

    def samples(self, rows: Sequence[Sequence[str]]) -> RenderableType:
        return _table(SAMPLE_HEADERS, [_breakable(row) for row in rows], 1)

    def summary(self, results: Results) -> Iterator[RenderableType]:
        yield from map(Text, _failures(results))


class _ForFiles(_ForTerminals):
    """The original's look, as wide as it has to be."""

    def title(self, text: str) -> Text:
        return Text(f"\n{_RULE}\n{text.upper()}\n{_RULE}")

    def table(self, results: Results) -> Iterator[RenderableType]:
        yield self.title(f"{results.benchmarks()} benchmark results")
        yield _ascii_table(headers(results), cells(results), TEXTS)

    def pairs(self, results: Results) -> RenderableType:
        return _ascii_table(PAIR_HEADERS, pair_cells(results), 1)

    def samples(self, rows: Sequence[Sequence[str]]) -> RenderableType:
        plain = [[cell.replace("±", "+-") for cell in row] for row in rows]
        return _ascii_table(SAMPLE_HEADERS, plain, 1)

    def summary(self, results: Results) -> Iterator[RenderableType]:
        yield self.title("Summary")
        yield from map(Text, _bars(results))
        yield from map(Text, _failures(results))


def _parts(results: Results, look: _ForTerminals) -> Iterator[RenderableType]:
    yield from look.table(results)
    if results.ranked:
        yield Text(f"Best: {_best(results)}")
    if results.graded:
        how = "clustered by problem" if sample_cells(results) else "Wilson"
        yield Text(
            f"In brackets: the 95 % interval of the pass rate ({how}). Failures count as not passed."
        )
    if results.pairs:
        yield look.title("Differences on the same problems (in percentage points)")
        yield look.pairs(results)
        yield Text(
            "In brackets: 95 % (Newcombe). p: McNemar's exact test; Holm: for all comparisons."
            if all(row.batch.samples == 1 for row in results.rows)
            else "In brackets: 95 %. p: of the mean difference of a problem; Holm: for all comparisons."
        )
    if rows := sample_cells(results):
        yield look.title("Several answers to each problem")
        yield look.samples(rows)
        yield Text(SAMPLE_NOTE)
    yield from look.summary(results)


def _best(results: Results) -> str:
    """Name the row with the highest pass rate, the first one; others with the same leave none the best."""
    first = max(results.rows, key=lambda row: row.pass_rate or 0)
    same = sum(row.pass_rate == first.pass_rate for row in results.rows)
    if same > 1:
        return f"none, {same} have a pass rate of {rate(first)}"
    return f"{results.names[0]}, pass rate {rate(first)}, {number(first.seconds, '.2f')} s"


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
        for row, name in named(results):
            bar = "#" * round(_BAR * (row.pass_rate or 0))
            yield f"  {name:{width}}  {bar:{_BAR}} {rate(row)}".rstrip()
    measured = [(row, name) for row, name in named(results) if row.problems]
    missing = [f"  {name:{width}}  {NOTHING}" for row, name in named(results) if not row.problems]
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
    if results.priced:
        yield "Cost"
        for row, name in sorted(measured, key=lambda one: one[0].cost or 0):
            said = describe_cost(row.cost, row.uncertain_cost, row.unpriced) or "price unknown"
            yield f"  {name:{width}}  {said}"


def _failures(results: Results) -> Iterator[str]:
    failures = [(name, one) for row, name in named(results) for one in row.failures]
    if failures:
        yield "\nFailures (counted as not passed)"
    for name, record in failures:
        yield f"  {name}: {record.problem} after {format_duration(record.seconds)}: {record.error}"
