"""The interval and the test, against their definitions and against printed values."""

from __future__ import annotations

import itertools
import math
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_beam.benchmark.statistics import Interval, holm, mcnemar, paired_difference, wilson
from trio_beam.errors import ConfigError

counts = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.parametrize(
    ("passed", "total", "low", "high"),
    [
        # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_has_the_printed_values(passed: int, total: int, low: float, high: float) -> None:
    found = wilson(passed, total)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@given(counts, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_the_ends_of_wilson_solve_its_equation(count: tuple[int, int], confidence: float) -> None:
    passed, total = count
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    found = wilson(passed, total, confidence)
    assert 0 <= found.low <= passed / total <= found.high <= 1
    for end in (found.low, found.high):
        distance = abs(passed / total - end)
        assert distance == pytest.approx(z * math.sqrt(end * (1 - end) / total), abs=1e-9)


@given(counts)
def test_wilson_is_the_same_for_passes_and_failures(count: tuple[int, int]) -> None:
    passed, total = count
    one, other = wilson(passed, total), wilson(total - passed, total)
    assert one.low == pytest.approx(1 - other.high, abs=1e-12)
    assert one.high == pytest.approx(1 - other.low, abs=1e-12)


def test_more_problems_narrow_wilson() -> None:
    widths = [wilson(n // 2, n) for n in (4, 16, 64, 256)]
    sizes = [found.high - found.low for found in widths]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == len(sizes)


def test_of_nothing_nothing_is_known() -> None:
    assert wilson(0, 0) == Interval(0.0, 1.0)


@pytest.mark.parametrize("first", range(6))
@pytest.mark.parametrize("second", range(6))
def test_mcnemar_counts_all_splits_at_least_as_uneven(first: int, second: int) -> None:
    different, uneven = first + second, abs(first - second)
    splits = [sum(way) for way in itertools.product((0, 1), repeat=different)]
    extreme = sum(abs(different - 2 * won) >= uneven for won in splits)
    assert mcnemar(first, second) == pytest.approx(extreme / len(splits))


@given(st.integers(0, 3000), st.integers(0, 3000))
def test_mcnemar_is_a_probability_and_symmetric(first: int, second: int) -> None:
    assert 0 <= mcnemar(first, second) == mcnemar(second, first) <= 1


@pytest.mark.parametrize(("first", "second", "p"), [(0, 0, 1.0), (0, 5, 0.0625), (1, 9, 11 / 512)])
def test_mcnemar_by_hand(first: int, second: int, p: float) -> None:
    assert mcnemar(first, second) == pytest.approx(p)


@pytest.mark.parametrize(
    ("passed", "total", "confidence", "field"),
    [
        (-1, 5, 0.95, "passed"),
        (6, 5, 0.95, "passed"),
        (1, -1, 0.95, "total"),
        (True, 5, 0.95, "passed"),
        (1, 5, 0.0, "confidence"),
        (1, 5, 1.0, "confidence"),
    ],
)
def test_wilson_refuses_what_cannot_be(
    passed: int, total: int, confidence: float, field: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        wilson(passed, total, confidence)
    assert caught.value.field == field


def test_mcnemar_refuses_what_cannot_be() -> None:
    with pytest.raises(ConfigError) as caught:
        mcnemar(1, -1)
    assert caught.value.field == "only_second"


cells = st.tuples(*[st.integers(0, 60)] * 4)


@given(cells, st.sampled_from([0.8, 0.95]))
def test_the_interval_of_a_difference_holds_it(table: tuple[int, ...], confidence: float) -> None:
    both, first, second, neither = table
    found = paired_difference(both, first, second, neither, confidence)
    assert -1 <= found.low <= found.high <= 1
    if sum(table):
        assert found.low <= (first - second) / sum(table) <= found.high
    turned = paired_difference(both, second, first, neither, confidence)
    assert found.low == pytest.approx(-turned.high, abs=1e-12)
    assert found.high == pytest.approx(-turned.low, abs=1e-12)


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [((36, 12, 2, 0), 0.0569, 0.3404), ((20, 12, 2, 16), 0.0562, 0.3292)],
)
def test_the_interval_of_a_difference_has_the_printed_values(
    table: tuple[int, int, int, int], low: float, high: float
) -> None:
    """Newcombe's own tables, method 10."""
    found = paired_difference(*table)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_without_correlation_it_is_that_of_independent_rates() -> None:
    """25 * 25 = 25 * 25: the outcomes say nothing of each other."""
    rate, wide = 0.5, wilson(50, 100)
    reach = math.hypot(rate - wide.low, wide.high - rate)
    found = paired_difference(25, 25, 25, 25)
    assert found.high == -found.low == pytest.approx(reach)


def test_strategies_that_solve_the_same_problems_are_told_apart_more_finely() -> None:
    together, apart = paired_difference(50, 10, 0, 40), paired_difference(30, 30, 20, 20)
    assert together.high - together.low < 0.6 * (apart.high - apart.low)
    assert together.low > 0 > apart.low


@pytest.mark.parametrize("chances", [(0.4, 0.2, 0.1, 0.3), (0.05, 0.25, 0.05, 0.65), (0.25,) * 4])
def test_the_interval_of_a_difference_covers_the_truth(chances: tuple[float, ...]) -> None:
    """Over every possible outcome of 24 problems, weighed by its probability."""
    n, covered = 24, 0.0
    truth = chances[1] - chances[2]
    for table in itertools.product(range(n + 1), repeat=3):
        if sum(table) > n:
            continue
        cell = (*table, n - sum(table))
        found = paired_difference(*cell)
        if found.low <= truth <= found.high:
            ways = math.factorial(n) // math.prod(map(math.factorial, cell))
            covered += ways * math.prod(p**count for p, count in zip(chances, cell, strict=True))
    assert 0.93 < covered < 0.99


def test_of_nothing_no_difference_is_known() -> None:
    assert paired_difference(0, 0, 0, 0) == Interval(-1.0, 1.0)
    with pytest.raises(ConfigError):
        paired_difference(1, 1, 1, -1)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []
    with pytest.raises(ConfigError):
        holm([0.5, 1.5])


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_lies_between_the_p_values_and_bonferroni(p_values: list[float]) -> None:
    for p, adjusted in zip(p_values, holm(p_values), strict=True):
        assert p <= adjusted <= min(1.0, len(p_values) * p)
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert sorted(holm(p_values)) == [holm(p_values)[index] for index in order]
