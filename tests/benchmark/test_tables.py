"""The table of a run, for files and for terminals."""

from __future__ import annotations

import io

from rich.console import Console

from tests.benchmark.test_summary import batch, record
from trio_beam.benchmark.summary import Batch
from trio_beam.benchmark.tables import HEADERS, Results, show


def shown(*batches: Batch, terminal: bool = False) -> str:
    file = io.StringIO()
    console = Console(file=file, width=200, force_terminal=terminal, color_system=None)
    show(Results.of(batches), console)
    return file.getvalue()


def test_a_file_gets_the_originals_table() -> None:
    text = shown(batch("A", {0: True, 1: False}), batch("B", {0: True, 1: True}))
    lines = text.splitlines()
    title = lines.index("SUMS BENCHMARK RESULTS")
    assert set(lines[title - 1]) == set(lines[title + 1]) == {"="}
    table = lines[title + 2 : title + 9]
    assert [set(line) for line in table[::2]] == [{"+", "-"}, {"+", "="}, {"+", "-"}, {"+", "-"}]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table[1::2]]
    assert rows == [
        list(HEADERS),
        ["sums", "m", "B", "100.0%", "0.12", "66", "33.0", "2"],
        ["sums", "m", "A", "50.0%", "0.12", "66", "33.0", "2"],
    ]
    assert "  A  ####################                     50.0% [9.5, 90.5]" in text
    assert text.isascii()


def test_a_terminal_gets_intervals_in_the_table() -> None:
    text = shown(batch("A", {0: True, 1: False}), terminal=True)
    assert "│ A        │ 50.0% [9.5, 90.5] │" in text
    assert "====" not in text


def test_the_best_is_named() -> None:
    text = shown(batch("A", {0: True, 1: False}), batch("B", {0: True, 1: True}))
    assert "Best: B, pass rate 100.0% [34.2, 100.0]" in text


def test_none_is_the_best_where_several_are() -> None:
    text = shown(batch("A", {0: True, 1: False}), batch("B", {0: False, 1: True}))
    assert "Best: none, 2 have a pass rate of 50.0%" in text


def test_without_grades_there_is_no_best_and_no_bar() -> None:
    text = shown(batch("A", {0: None}))
    assert "not graded" in text
    assert "Best" not in text
    assert "Pass rate\n" not in text


def test_failures_are_listed() -> None:
    records = [record(3, passed=False, error="the line is dead", seconds=75.0)]
    text = shown(batch("A", {}, records=records, wanted=4))
    assert "A: p/3 after 1 min: the line is dead" in text
    assert "1 of 4" in text


def test_markup_in_what_a_server_says_is_printed_as_it_is() -> None:
    records = [record(0, passed=False, error="[bold]no[/bold] [red]")]
    assert "[bold]no[/bold] [red]" in shown(batch("A", {}, records=records, wanted=1))


def test_nothing_at_all_is_a_table_without_rows() -> None:
    assert "Strategy" in shown()
