"""Normalising weights and drawing by them."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_beam.core.weights import effective_size, log_sum, normalise, systematic_resample

LOG_WEIGHTS = st.lists(
    st.floats(-800, 800) | st.just(-math.inf) | st.sampled_from([0.0, -1.0]),
    min_size=1,
    max_size=12,
)


@given(LOG_WEIGHTS)
def test_weights_sum_to_one(log_weights: list[float]) -> None:
    weights = normalise(log_weights)
    assert math.fsum(weights) == pytest.approx(1)
    assert all(0 <= weight <= 1 for weight in weights)
    if max(log_weights) > -math.inf:
        assert all(
            weight == 0
            for weight, value in zip(weights, log_weights, strict=True)
            if value == -math.inf
        )
        assert weights[log_weights.index(max(log_weights))] == max(weights)


@given(LOG_WEIGHTS)
def test_the_effective_size_is_between_one_and_their_number(log_weights: list[float]) -> None:
    assert 1 - 1e-9 <= effective_size(log_weights) <= len(log_weights) + 1e-9


@given(st.integers(1, 9), st.floats(-700, 700))
def test_equal_weights_are_worth_their_number(count: int, value: float) -> None:
    assert effective_size([value] * count) == pytest.approx(count)
    assert log_sum([value] * count) == pytest.approx(value + math.log(count), abs=1e-9)


def test_nothing_is_worth_nothing() -> None:
    assert log_sum([]) == log_sum([-math.inf]) == -math.inf


@given(LOG_WEIGHTS, st.integers(1, 20), st.floats(0, 1, exclude_max=True))
def test_each_is_drawn_as_often_as_its_weight_says_or_once_more_or_less(
    log_weights: list[float], count: int, offset: float
) -> None:
    weights = normalise(log_weights)
    places = systematic_resample(weights, count, offset)
    assert len(places) == count
    assert places == sorted(places)
    drawn = Counter(places)
    for place, weight in enumerate(weights):
        assert math.floor(count * weight - 1e-9) <= drawn[place] <= math.ceil(count * weight + 1e-9)
        assert weight or not drawn[place]


@given(LOG_WEIGHTS, st.integers(1, 6))
def test_on_the_average_each_is_drawn_as_often_as_its_weight_says(
    log_weights: list[float], count: int
) -> None:
    """Exactly, but for the grid: the mean over the offset, which is uniform."""
    weights = normalise(log_weights)
    steps = 1000
    drawn: Counter[int] = Counter()
    for step in range(steps):
        drawn.update(systematic_resample(weights, count, (step + 0.5) / steps))
    for place, weight in enumerate(weights):
        assert drawn[place] / steps == pytest.approx(count * weight, abs=2 * count / steps)
