"""The table of a run, for files and for terminals."""

from __future__ import annotations

import io
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.benchmark.test_summary import batch, record
from trio_beam.benchmark.display import show
from trio_beam.benchmark.summary import Batch
from trio_beam.benchmark.tables import HEADERS, Results

Outcome = dict[int, bool | None]
outcomes = st.dictionaries(st.integers(0, 12), st.none() | st.booleans())


def shown(*batches: Batch, terminal: bool = False, width: int = 200) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, color_system=None)
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


LONG = "BeamSearch(α=4.0,width=128,n=2,tps=192)"


def test_a_terminal_gets_a_table_of_80_columns_with_what_is_the_same_above() -> None:
    batches = [
        batch("Greedy", {n: n % 2 == 0 for n in range(1000)}),
        batch(LONG, {n: n % 3 == 0 for n in range(1000)}),
        batch("PowerSampling(particles=128,α=4.0)", dict.fromkeys(range(1000), True)),
    ]
    text = shown(*batches, terminal=True, width=80)
    lines = text.splitlines()
    assert lines[1] == "sums, m, 1000 problems"
    assert [len(line) for line in lines if len(line) > 80] == []
    assert lines[2].split() == [
        "Strategy",
        "Passed",
        "Pass",
        "rate,",
        "95",
        "%",
        "Time",
        "(s)",
        "Tokens",
    ]
    assert "500 of 1000" in text
    assert "50.0% [46.9, 53.1]" in text  # in one piece
    assert "width=128," in text
    assert text.count("sums") == text.count(" m,") == 1


def test_what_is_not_the_same_is_a_column() -> None:
    text = shown(batch("A", {0: True}), batch("B", {0: True}, model="other"), terminal=True)
    assert text.splitlines()[1] == "sums, 1 problem"
    assert text.splitlines()[2].split()[:2] == ["Model", "Strategy"]


@given(st.lists(st.tuples(st.sampled_from([LONG, "A", "B" * 50]), outcomes), max_size=5))
def test_no_result_makes_a_terminal_s_table_wider(found: list[tuple[str, Outcome]]) -> None:
    text = shown(
        *[batch(f"{name}{n}", o) for n, (name, o) in enumerate(found)], terminal=True, width=80
    )
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("terminal", [True, False])
def test_what_was_not_measured_is_a_dash_without_a_rank(terminal: bool) -> None:
    text = shown(batch("Empty", {}, wanted=2), batch("A", {0: True, 1: False}), terminal=terminal)
    rows = [line for line in text.splitlines() if "Empty" in line]
    assert rows
    assert all("0.0" not in row and row.count("-") >= 1 for row in rows)
    lines = text.splitlines()
    assert "Best: A" in text
    first = next(index for index, line in enumerate(lines) if re.search(r"\bA\b .*50.0%", line))
    assert next(index for index, line in enumerate(lines) if "Empty" in line) > first


def test_none_is_the_best_where_they_were_not_graded_on_the_same_problems() -> None:
    text = shown(batch("A", {0: True, 1: None}), batch("B", {0: False, 1: True}))
    assert "Best" not in text
    only_failed = [record(0, passed=False, error="lost"), record(1, passed=None)]
    text = shown(batch("A", {}, records=only_failed), batch("B", {0: True, 1: True}))
    assert "Best: B" in text
    assert "DIFFERENCES" not in text  # a failure of an ungraded strategy is no measurement


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


def test_a_known_price_is_a_column_that_says_what_it_lacks() -> None:
    priced = [
        msgspec.structs.replace(record(at, passed=True), cost=0.1, requests=2) for at in range(3)
    ]
    partly = [*priced[:1], msgspec.structs.replace(record(1, passed=False), requests=4)]
    batches = [
        batch("A", dict.fromkeys(range(3), True), records=priced),
        batch("B", {0: True, 1: False}, records=partly),
        batch("C", {0: True}),
    ]
    text = shown(*batches)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    costs = {row[2]: row[-1] for row in rows if len(row) == len(HEADERS) + 1}
    assert costs == {
        "Strategy": "Cost ($)",
        "A": "0.30",
        "B": "0.10 (without 4 requests of unknown price)",
        "C": "-",
    }
    assert "  B  $0.10 (without 4 requests of unknown price)" in text
    narrow = shown(*batches, terminal=True, width=120)
    assert "Cost ($)" in narrow
    assert any(
        line.split()[:1] == ["A"] and line.split()[-1] == "0.10" for line in narrow.splitlines()
    )
