"""Counting what a search costs, within its budget."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_beam.core.usage import Budget, Usage
from trio_beam.core.usage_meter import UsageMeter
from trio_beam.errors import BudgetExhausted


def test_the_sum_of_costs_leaves_out_what_is_unknown() -> None:
    one = Usage(prompt_tokens=3, completion_tokens=4, requests=1, cost=0.5)
    other = Usage(prompt_tokens=1, cached_tokens=1, requests=2)
    assert one + other == Usage(
        prompt_tokens=4, cached_tokens=1, completion_tokens=4, requests=3, cost=0.5
    )
    assert (Usage() + Usage()).reasoning_tokens is None


def test_a_reservation_counts_the_prompt_of_each_request() -> None:
    meter = UsageMeter(Budget(total_tokens=100))
    one = meter.reservation(prompt_tokens=30)
    one.reserve(20)
    assert meter.total_left == 50
    assert one.allows(20)
    assert not one.allows(21)
    one.reserve(0)  # a request that generates nothing costs nothing
    with pytest.raises(BudgetExhausted):
        meter.reservation(prompt_tokens=31).reserve(20)
    one.responded(20)
    one.settle(5, prompt_tokens=12)
    assert meter.total_left == 83


def test_budgets_of_generated_tokens_and_of_all_tokens_are_two() -> None:
    meter = UsageMeter(Budget(total_tokens=100, completion_tokens=10))
    assert (meter.tokens_left, meter.total_left) == (10, 100)
    assert not meter.allows(11)
    assert meter.allows(10, prompt_tokens=90)
    assert not meter.allows(10, prompt_tokens=91)
    assert UsageMeter().tokens_left == math.inf


def test_a_share_of_what_is_left() -> None:
    budget = Budget(total_tokens=100, completion_tokens=50, requests=7)
    spent = Usage(prompt_tokens=10, requests=1)
    assert budget.share(3, spent) == Budget(total_tokens=30, completion_tokens=16, requests=2)
    assert Budget().share(3, spent) == Budget()


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9), st.integers(0, 9)), max_size=20),
    st.integers(0, 60),
)
def test_no_order_of_requests_overruns_the_total(
    requests: list[tuple[int, int, int]], total: int
) -> None:
    """However little each request generates of what it reserved."""
    meter = UsageMeter(Budget(total_tokens=total))
    for tokens, prompt, generated in requests:
        reservation = meter.reservation(prompt)
        if not reservation.allows(tokens):
            continue
        reservation.reserve(tokens)
        spent = min(tokens, generated)
        reservation.responded(tokens)
        reservation.settle(spent, prompt)
        meter.completion_tokens += spent
        meter.prompt_tokens += prompt
    assert meter.prompt_tokens + meter.completion_tokens <= total


def test_what_is_allotted_is_kept_for_its_request() -> None:
    meter = UsageMeter(Budget(requests=2, total_tokens=100))
    first = meter.allot(20, prompt_tokens=30)
    assert first is not None
    assert meter.total_left == 50
    assert meter.allows(50)
    assert not meter.allows(1, requests=2)
    assert meter.allot(41, prompt_tokens=10) is None
    second = meter.allot(20)
    assert second is not None
    assert not meter.allows(0)  # nothing is left for anybody else
    with pytest.raises(BudgetExhausted):
        meter.reservation().reserve(0)
    meter.reservation(30, first).reserve(20)
    meter.requests += 1
    assert meter.total_left == 30
    second.release()
    second.release()
    assert meter.total_left == 50
    assert meter.allows(50)
