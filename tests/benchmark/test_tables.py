"""What is printed of a run."""

from __future__ import annotations

import io

from rich.console import Console

from tests.benchmark.test_summary import batch, record
from trio_beam.benchmark.summary import Batch
from trio_beam.benchmark.tables import Results, show


def shown(*batches: Batch) -> str:
    file = io.StringIO()
    show(Results.of(batches), Console(file=file, width=200))
    return file.getvalue()


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
