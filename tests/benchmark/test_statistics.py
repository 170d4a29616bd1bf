"""The interval and the test, against their definitions and against printed values."""

from __future__ import annotations

import itertools
import math
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_beam.benchmark.statistics import Interval, mcnemar, wilson
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
