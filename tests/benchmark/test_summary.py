"""Records added up, and strategies compared on the problems that they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmark.test_store import record_of
from trio_beam.benchmark.records import Record
from trio_beam.benchmark.statistics import mcnemar, paired_difference, wilson
from trio_beam.benchmark.summary import Batch, compare, distinct, names, summarise
from trio_beam.benchmark.tables import HEADERS, Results, as_markdown, cells, markdown, pair_cells


def record(problem: int, *, passed: bool | None, **changes: object) -> Record:
    plain = record_of(f"p/{problem}")
    return msgspec.structs.replace(plain, passed=passed, **changes)


def batch(label: str, passes: Mapping[int, bool | None], **changes: Any) -> Batch:
    plain = Batch(
        benchmark="sums",
        model="m",
        strategy=label.lower(),
        label=label,
        width=1,
        configuration=label,
        wanted=len(passes),
        records=[record(problem, passed=passed) for problem, passed in passes.items()],
    )
    return attrs.evolve(plain, **changes)


passes = st.dictionaries(st.integers(0, 12), st.booleans())


@given(passes)
def test_a_row_counts_what_passed_of_all(outcome: dict[int, bool]) -> None:
    row = summarise(batch("A", outcome))
    assert row.problems == row.graded == len(outcome)
    if outcome:
        assert row.passed == sum(outcome.values())
        assert row.pass_rate == sum(outcome.values()) / len(outcome)
        assert row.interval == wilson(sum(outcome.values()), len(outcome))
    else:
        assert (row.passed, row.pass_rate, row.interval, row.seconds) == (None,) * 4


def test_times_and_tokens_are_of_every_record() -> None:
    records = [
        record(0, passed=True, seconds=1.0, prompt_tokens=10, completion_tokens=5),
        record(1, passed=False, seconds=4.0, prompt_tokens=20, completion_tokens=15),
    ]
    row = summarise(batch("A", {}, records=records))
    assert row.seconds == 2.5
    assert row.total_tokens == 50
    assert row.generated_tokens == 20
    assert row.tokens_per_problem == 25


def test_failures_stay_in_the_denominator() -> None:
    failed = record(2, passed=False, error="the line is dead")
    row = summarise(
        batch("A", {}, records=[record(0, passed=True), record(1, passed=False), failed])
    )
    assert (row.problems, row.passed, row.failures) == (3, 1, (failed,))


def test_answers_without_a_grade_are_not_in_the_rate() -> None:
    row = summarise(batch("A", {0: True, 1: None}))
    assert (row.problems, row.graded, row.passed, row.pass_rate) == (2, 1, 1, 1.0)


def test_failures_alone_are_no_rate_of_answers_without_a_grade() -> None:
    records = [record(0, passed=None), record(1, passed=False, error="lost")]
    row = summarise(batch("A", {}, records=records))
    assert (row.problems, row.graded, row.passed, row.pass_rate) == (2, 0, None, None)
    assert len(row.failures) == 1
    assert compare([batch("A", {}, records=records), batch("B", {0: True, 1: True})]) == []
    assert summarise(batch("A", {}, records=records[1:])).pass_rate == 0


@given(passes, passes)
def test_a_pair_is_compared_on_what_both_have(one: dict[int, bool], other: dict[int, bool]) -> None:
    pairs = compare([batch("A", one), batch("B", other)])
    shared = one.keys() & other.keys()
    if not shared:
        assert pairs == []
        return
    (pair,) = pairs
    table = [
        sum((one[k], other[k]) == wanted for k in shared)
        for wanted in ((True, True), (True, False), (False, True), (False, False))
    ]
    assert pair.problems == len(shared)
    assert (pair.only_first, pair.only_second) == (table[1], table[2])
    assert pair.difference == pytest.approx(
        sum(one[k] for k in shared) / len(shared) - sum(other[k] for k in shared) / len(shared)
    )
    assert pair.interval == paired_difference(*table)
    assert pair.p == pair.adjusted_p == mcnemar(table[1], table[2])


def test_what_was_not_graded_is_not_compared() -> None:
    (pair,) = compare([batch("A", {0: True, 1: None, 2: True}), batch("B", {0: False, 1: True})])
    assert (pair.problems, pair.only_first, pair.only_second) == (1, 1, 0)


def test_several_comparisons_are_corrected_for_each_other() -> None:
    every = dict.fromkeys(range(10), True)
    none = dict.fromkeys(range(10), False)
    pairs = compare([batch("A", every), batch("B", none), batch("C", every)])
    assert [pair.p for pair in pairs] == [2 / 1024, 1.0, 2 / 1024]
    assert [pair.adjusted_p for pair in pairs] == pytest.approx([6 / 1024, 1.0, 6 / 1024])


def test_other_benchmarks_and_models_are_not_compared() -> None:
    one = batch("A", {0: True})
    other = batch("B", {0: False})
    assert len(compare([one, other])) == 1
    assert compare([one, attrs.evolve(other, benchmark="products")]) == []
    assert compare([one, attrs.evolve(other, model="n")]) == []


def test_what_runs_of_a_sweep_share_is_shown_once() -> None:
    greedy = batch("Greedy", {0: True})
    beams = [batch("Beam", {0: True}, configuration=f"c{k}") for k in range(2)]
    assert distinct([greedy, beams[0], greedy, beams[1]]) == [greedy, *beams]


def test_equal_labels_are_told_apart_by_what_was_swept() -> None:
    one = batch("Beam", {}, settings="beam_search.length_penalty=0.6")
    other = batch("Beam", {}, settings="beam_search.length_penalty=1.0")
    alone = batch("Greedy", {}, settings="")
    assert names([one, alone, other]) == [
        f"Beam {one.settings}",
        "Greedy",
        f"Beam {other.settings}",
    ]


def test_the_table_has_the_originals_columns_best_first() -> None:
    results = Results.of(
        [batch("A", {0: False, 1: True}), batch("B", {0: True, 1: True}, wanted=3)]
    )
    first, second = cells(results)
    assert len(first) == len(second) == len(HEADERS) == 8
    assert first[:3] == ("sums", "m", "B")
    assert first[3] == "100.0%"
    assert first[4:] == ("0.12", "66", "33.0", "2 of 3")
    assert second[2] == "A"
    assert second[3] == "50.0%"
    assert second[7] == "2"
    (pair,) = pair_cells(results)
    assert pair[0] == "A - B"
    assert pair[1].startswith("-50.0 [")
    assert pair[2:] == ("0", "1", "1", "1")


def test_not_graded_comes_last_and_is_no_number() -> None:
    results = Results.of([batch("A", {0: None}), batch("B", {0: False})])
    assert [row[2:4] for row in cells(results)][1] == ("A", "not graded")
    assert results.pairs == []


def test_many_strategies_are_compared_with_the_first_in_the_table_and_all_in_the_files() -> None:
    batches = [batch(name, {0: True}) for name in "ABCDEF"]
    results = Results.of(batches)
    assert len(results.pairs) == 15
    assert [pair.second.label for pair in results.shown_pairs()] == ["B", "C", "D", "E", "F"]
    assert {pair.first.label for pair in results.shown_pairs()} == {"A"}


def test_markdown_is_a_table_of_its_cells() -> None:
    assert markdown(("a", "b"), [("x", "1"), ("y", "2")], 1) == (
        "| a | b |\n| --- | ---: |\n| x | 1 |\n| y | 2 |"
    )
    text = as_markdown(Results.of([batch("A", {0: True}), batch("B", {0: False})]))
    same, table, _ = text.split("\n\n")
    assert same == "sums, m, 1 problem"
    assert table.splitlines()[0] == "| Strategy | Passed | Pass rate, 95 % | Time (s) | Tokens |"
    assert len({line.count("|") for line in table.splitlines()}) == 1
