"""The table of a run and its comparisons: cell by cell, and as Markdown. What was not measured is "-"."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import attrs

from trio_beam.benchmark.samples import AtK, at_each_k
from trio_beam.benchmark.statistics import Interval, Mean
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
from trio_beam.core.price import describe_cost, dollars

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
TEXTS = 3
#: Where the price of a model is known, behind the others.
COST = "Cost ($)"
#: The narrow table's. Of these only those in front of the strategy are left out where they do not differ.
_NARROW = (
    "Benchmark",
    "Model",
    "Strategy",
    "Passed",
    "Pass rate, 95 %",
    "Time (s)",
    "Tokens",
    COST,
)
NOTHING = "-"
PAIR_HEADERS = ("Strategies", "Difference", "Only the first", "Only the second", "p", "p (Holm)")
SAMPLE_HEADERS = ("Strategy", "k", "Tokens", "avg@k", "pass@k", "maj@k")
SAMPLE_NOTE = (
    "Per cent, with the standard error clustered by problem."
    " Tokens: generated for k answers to a problem."
)
#: With more strategies, each is compared with the first one only, and the files have all comparisons.
_MAX_ALL_PAIRS = 4


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

    def at_each_k(self) -> list[tuple[str, list[AtK]]]:
        """Return what k answers are worth, by strategy; empty if each has one answer to a problem."""
        if all(row.batch.samples == 1 for row in self.rows):
            return []
        return [(name, found) for row, name in named(self) if (found := at_each_k(row.batch))]

    @property
    def priced(self) -> bool:
        """Return whether any price is known."""
        return any(row.cost is not None for row in self.rows)

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
            rate(row).partition(" [")[0],
            number(row.seconds, ".2f"),
            number(row.total_tokens if row.problems else None, ","),
            number(row.tokens_per_problem, ".1f"),
            f"{row.problems}" if row.problems == row.batch.wanted else _part(row),
            *([_total_cost(row)] if results.priced else []),
        )
        for row, name in named(results)
    ]


def headers(results: Results) -> tuple[str, ...]:
    """Return the headers of the original's table, and that of the cost if a price is known."""
    return (*HEADERS, COST) if results.priced else HEADERS


def narrow_cells(results: Results) -> tuple[str, Sequence[str], list[Sequence[str]]]:
    """Return what is the same in all rows as a line, and the headers and cells of the rest.

    Times, tokens and costs are means of a problem.
    """
    rows = [
        (
            row.batch.benchmark,
            row.batch.model,
            name,
            _passed(row),
            rate(row),
            number(row.seconds, ".2f"),
            number(row.tokens_per_problem, ".0f"),
            NOTHING if row.cost_per_problem is None else dollars(row.cost_per_problem)[1:],
        )
        for row, name in named(results)
    ]
    kept = [
        index
        for index in range(len(_NARROW))
        if (index >= TEXTS - 1 or len({row[index] for row in rows}) > 1)
        and (results.priced or _NARROW[index] != COST)
    ]
    same = [rows[0][index] for index in range(TEXTS - 1) if rows and index not in kept]
    wanted = {row.batch.wanted // row.batch.samples for row in results.rows}
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


def sample_cells(results: Results) -> list[tuple[str, ...]]:
    """Return the cells of what k answers are worth, row by row."""
    return [
        (
            name,
            str(one.k),
            f"{one.tokens:.0f}",
            _mean(one.average),
            _mean(one.passed),
            NOTHING if one.majority is None else _mean(one.majority),
        )
        for name, found in results.at_each_k()
        for one in found
    ]


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> str:
    """Write a table in Markdown; the first `texts` columns are no numbers."""
    rule = ["---" if index < texts else "---:" for index in range(len(heads))]
    lines = [heads, rule, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_markdown(results: Results) -> str:
    """Write the table and the comparisons in Markdown, with what is the same in all rows above."""
    same, heads, rows = narrow_cells(results)
    parts = [same, markdown(heads, rows, heads.index("Strategy") + 1)]
    if results.pairs:
        parts.append(markdown(PAIR_HEADERS, pair_cells(results), 1))
    if several := sample_cells(results):
        parts += [markdown(SAMPLE_HEADERS, several, 1), SAMPLE_NOTE]
    return "\n\n".join(filter(None, parts))


def named(results: Results) -> Iterator[tuple[Row, str]]:
    """Iterate over the rows with their names."""
    return zip(results.rows, results.names, strict=True)


def rate(row: Row) -> str:
    """Write a pass rate with its interval."""
    if row.pass_rate is None or row.interval is None:
        return "not graded" if row.problems else NOTHING
    return f"{100 * row.pass_rate:.1f}% {_span(row.interval)}"


def _total_cost(row: Row) -> str:
    return (describe_cost(row.cost, row.uncertain_cost, row.unpriced) or NOTHING).lstrip("$")


def _passed(row: Row) -> str:
    """Passed of graded; and how many there are, if not all of them are graded or there."""
    if not row.problems:
        return NOTHING
    words = [] if row.passed is None else [f"{row.passed} of {row.graded}"]
    if row.problems > row.graded:
        words.append(f"{row.problems - row.graded} not graded")
    if row.problems < row.batch.wanted:
        words.append(f"{row.batch.wanted - row.problems} missing")
    return ", ".join(words)


def number(value: float | None, form: str) -> str:
    """Write a measurement, if there is one."""
    return NOTHING if value is None else format(value, form)


def _mean(mean: Mean) -> str:
    error = f"{100 * mean.error:.1f}" if math.isfinite(mean.error) else NOTHING
    return f"{100 * mean.value:.1f} ± {error}"


def _span(interval: Interval) -> str:
    return f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _part(row: Row) -> str:
    return f"{row.problems} of {row.batch.wanted}"
