"""Confidence: of tokens, over windows, and the threshold that the first samples set."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_beam.core.block import Token
from trio_beam.core.confidence import Confidence, ConfidenceLimit, Group, of_logprobs, quantile


def tokens_of(values: Sequence[float]) -> list[Token]:
    return [Token("x", value) for value in values]


def test_a_token_is_confident_if_the_others_are_improbable() -> None:
    peaked = [math.log(0.97), math.log(0.01), math.log(0.01)]
    flat = [math.log(0.4), math.log(0.3), math.log(0.2)]
    assert of_logprobs(-9.0, peaked, 3) == pytest.approx(-statistics.mean(peaked))
    assert (of_logprobs(-1, peaked, 3) or 0) > (of_logprobs(-1, flat, 3) or 0) > 0


def test_only_the_most_probable_alternatives_that_are_known_count() -> None:
    given = [None, -3.0, -1.0, -math.inf, -2.0]
    assert of_logprobs(-9.0, given, 2) == 1.5
    assert of_logprobs(-9.0, given, 20) == 2.0
    assert of_logprobs(-9.0, [], 20) is None
    assert of_logprobs(-9.0, given, 0) == -9.0


@given(st.lists(st.floats(-9, 0), max_size=30), st.integers(1, 12))
def test_the_lowest_mean_over_a_window(values: list[float], window: int) -> None:
    confidence = Confidence(window=window, top=0)
    means = [
        statistics.fmean(values[start : start + window])
        for start in range(len(values) - window + 1)
    ]
    expected = min(means, default=statistics.fmean(values) if values else math.inf)
    assert confidence.of(tokens_of(values)) == pytest.approx(expected, abs=1e-9)


@given(st.lists(st.integers(-9, 0), max_size=30), st.integers(1, 8), st.integers(-9, 0))
def test_it_ends_with_the_first_window_that_is_below(
    values: list[int], window: int, threshold: int
) -> None:
    limit = ConfidenceLimit(window=window, top=0, threshold=threshold)
    ends = [
        end
        for end in range(window, len(values) + 1)
        if sum(values[end - window : end]) < threshold * window
    ]
    assert limit.end(tokens_of(values)) == (ends[0] if ends else None)


def test_unknown_tokens_are_left_out() -> None:
    group = Group(2)
    assert [group.add(value) for value in (-1.0, None, -3.0)] == [math.inf, math.inf, -2.0]


@pytest.mark.parametrize(("keep", "threshold"), [(0.9, 1.9), (0.1, 9.1), (1.0, 1.0), (0.5, 5.5)])
def test_the_threshold_lets_a_share_of_the_first_samples_pass(
    keep: float, threshold: float
) -> None:
    """As numpy's percentile, which DeepConf's authors use."""
    values = [float(value) for value in range(10, 0, -1)]
    assert Confidence(keep=keep).threshold(values) == pytest.approx(threshold)
    assert quantile([7.0], 0.3) == 7
    assert Confidence().threshold([]) == -math.inf
