"""Several answers to each problem: pass@k, avg@k and maj@k, against their definitions and in a run."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmark.test_run import run
from tests.benchmark.test_summary import batch, record
from tests.benchmark.test_tables import shown
from trio_beam.benchmark.plots import draw_plots
from trio_beam.benchmark.records import Record
from trio_beam.benchmark.report import as_json, series_of
from trio_beam.benchmark.samples import at_each_k
from trio_beam.benchmark.statistics import maj_at_k, mean_of_problems, pass_at_k
from trio_beam.benchmark.summary import Batch, compare, summarise
from trio_beam.benchmark.tables import Results, as_markdown, sample_cells
from trio_beam.errors import ConfigError


@pytest.mark.parametrize(
    ("total", "passed", "k", "value"),
    [
        (10, 3, 1, 0.3),
        (10, 3, 5, 1 - 21 / 252),
        (200, 1, 100, 0.5),
        (5, 0, 5, 0.0),
        (5, 1, 5, 1.0),
        (4, 2, 3, 1.0),
    ],
)
def test_pass_at_k_has_its_values(total: int, passed: int, k: int, value: float) -> None:
    assert pass_at_k(total, passed, k) == pytest.approx(value, abs=1e-12)


@given(st.integers(1, 12), st.integers(1, 12), st.fractions(0, 1, max_denominator=20))
def test_pass_at_k_is_unbiased(total: int, k: int, p: Fraction) -> None:
    k = min(k, total)
    mean = sum(
        math.comb(total, c) * float(p) ** c * (1 - float(p)) ** (total - c) * pass_at_k(total, c, k)
        for c in range(total + 1)
    )
    assert mean == pytest.approx(1 - (1 - float(p)) ** k, abs=1e-9)


@given(
    st.lists(st.sampled_from(["18", "20", "7", None]), min_size=1, max_size=7), st.integers(1, 7)
)
def test_maj_at_k_is_the_mean_of_all_choices(answers: list[str | None], k: int) -> None:
    k = min(k, len(answers))
    votes = Counter(answer for answer in answers if answer is not None)
    found = maj_at_k(
        list(votes.values()), [answer == "18" for answer in votes], answers.count(None), k
    )
    choices = [majority(choice) for choice in itertools.combinations(answers, k)]
    assert found == pytest.approx(float(sum(choices) / len(choices)))


def majority(answers: Sequence[str | None]) -> Fraction:
    votes = Counter(answer for answer in answers if answer is not None)
    best = [answer for answer, count in votes.items() if count == max(votes.values())]
    return Fraction(best.count("18"), len(best)) if best else Fraction(0)


@pytest.mark.parametrize(("total", "passed", "k"), [(0, 0, 1), (3, 4, 1), (3, 1, 4), (3, 1, 0)])
def test_what_cannot_be_counted_is_refused(total: int, passed: int, k: int) -> None:
    with pytest.raises(ConfigError):
        pass_at_k(total, passed, k)


def test_the_error_of_a_mean_counts_each_problem_once() -> None:
    mean = mean_of_problems([1.0, 0.5, 0.0, 0.5])
    assert mean.value == 0.5
    assert mean.error == pytest.approx(math.sqrt(0.5 / 12))
    assert mean_of_problems([0.5]).error == math.inf
    assert mean_of_problems([0.5]).interval(0.0).low == 0.0
    assert mean.interval(0.0).high == pytest.approx(0.5 + 1.959964 * mean.error, abs=1e-6)


def several(label: str, *outcomes: str, tokens: int = 10) -> Batch:
    """A batch of as many answers to each problem as an outcome has characters: + passed, - did not."""
    records: list[Record] = [
        record(
            number,
            passed=mark == "+",
            sample=sample,
            answer="18" if mark == "+" else "20",
            completion_tokens=tokens,
        )
        for number, outcome in enumerate(outcomes)
        for sample, mark in enumerate(outcome)
    ]
    return batch(label, {}, records=records, wanted=len(records), samples=len(outcomes[0]))


def test_a_batch_at_each_k() -> None:
    first, second, third = at_each_k(several("A", "+++-", "+---", "----", tokens=5))
    assert [first.k, second.k, third.k] == [1, 2, 4]
    assert [first.tokens, second.tokens, third.tokens] == [5, 10, 20]
    assert first.passed.value == first.average.value == pytest.approx(1 / 3)
    assert second.passed.value == pytest.approx((1 + 0.5 + 0) / 3)
    assert third.passed.value == pytest.approx(2 / 3)
    assert third.majority is not None
    assert third.majority.value == pytest.approx(1 / 3)
    assert third.average == first.average
    assert first.average.error == pytest.approx(mean_of_problems([0.75, 0.25, 0.0]).error)


def test_problems_without_all_their_answers_do_not_count() -> None:
    whole = several("A", "++", "+-")
    cut = batch("A", {}, records=whole.records[:3], wanted=4, samples=2)
    assert [one.average.value for one in at_each_k(cut)] == [1.0, 1.0]
    assert at_each_k(batch("A", {}, samples=2)) == []


def test_strategies_are_compared_by_the_differences_of_problems() -> None:
    first, second = several("A", "++", "++", "+-"), several("B", "--", "+-", "+-")
    (pair,) = compare([first, second])
    assert pair.difference == pytest.approx(0.5)
    assert (pair.only_first, pair.only_second, pair.problems) == (2, 0, 3)
    mean = mean_of_problems([1.0, 0.5, 0.0])
    assert pair.p == pytest.approx(mean.p)
    assert pair.interval.low == pytest.approx(0.5 - 1.959964 * mean.error, abs=1e-6)
    row = summarise(first)
    assert row.pass_rate == pytest.approx(5 / 6)
    assert row.interval == mean_of_problems([1.0, 1.0, 0.5]).interval(0.0)


def test_one_answer_among_several_strategies_of_many() -> None:
    (pair,) = compare([several("A", "+", "-"), several("B", "+-+-", "++++")])
    assert pair.difference == pytest.approx((0.5 - 1) / 2)


def test_the_table_is_printed_and_written(tmp_path: Path) -> None:
    results = Results.of([several("A", "+++-", "+---"), several("B", "+", "-", tokens=30)])
    assert sample_cells(results)[0] == ("A", "1", "10", "50.0 ± 25.0", "50.0 ± 25.0", "50.0 ± 25.0")
    assert [row[:3] for row in sample_cells(results)][-1] == ("B", "1", "30")
    assert "| A | 4 | 40 | 50.0 ± 25.0 | 100.0 ± 0.0 | 50.0 ± 50.0 |" in as_markdown(results)
    text = shown(*(row.batch for row in results.rows))
    assert "clustered by problem" in text
    assert text.isascii()
    assert "maj@k" in shown(*(row.batch for row in results.rows), terminal=True, width=80)
    data = json.loads(json.dumps(as_json(results)))
    assert data["samples"][2]["pass_at_k"] == 1.0
    names = {path.stem for path in draw_plots(series_of(results), tmp_path, title="t")}
    assert "accuracy_against_tokens" in names


def test_one_answer_to_each_makes_no_table() -> None:
    results = Results.of([batch("A", {0: True, 1: False})])
    assert sample_cells(results) == []
    assert "maj@k" not in as_markdown(results) + shown(results.rows[0].batch)


_WORDS = ("benchmark.num_problems=3", "sample.enabled=true")


async def test_a_run_answers_each_problem_several_times(tmp_path: Path) -> None:
    """More answers keep those that are there; at temperature 0 one says it all."""
    records, notes = await run(tmp_path, *_WORDS, "benchmark.samples=2")
    assert notes.begun == [("greedy", 3, 0), ("sample", 6, 0)]
    sampled = [one for one in records if one.strategy == "sample"]
    assert [(one.problem, one.sample) for one in sampled] == [
        (f"words/{k}", sample) for k in range(3) for sample in range(2)
    ]
    assert len({one.seed for one in sampled}) == 6
    more, notes = await run(tmp_path, *_WORDS, "benchmark.samples=4")
    assert notes.begun == [("greedy", 3, 3), ("sample", 12, 6)]
    assert all(one in more for one in records)
    first, _ = await run(tmp_path / "other", *_WORDS)
    assert [one.seed for one in first] == [one.seed for one in records if not one.sample]


async def test_the_temperature_of_the_particles_is_a_key(tmp_path: Path) -> None:
    words = ("greedy.enabled=false", "power.enabled=true", "benchmark.num_problems=1")
    plain, _ = await run(tmp_path, *words)
    cold, _ = await run(tmp_path, *words, "power.proposal_temperature=0.25")
    assert plain[0].strategy == cold[0].strategy == "power_sampling"
    assert plain[0].configuration != cold[0].configuration
