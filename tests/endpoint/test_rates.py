"""Requests and tokens per minute: never above the rate, no slower than needed, and fair."""

from __future__ import annotations

from collections import Counter

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from trio_beam.endpoint.rates import MINUTE, RateLimits


@attrs.frozen
class Ask:
    """A request: when it comes, of which search, what it may cost, and what it does cost after how long."""

    at: float
    search: int
    tokens: int
    share: float
    seconds: float


_ASKS = st.lists(
    st.builds(
        Ask,
        at=st.sampled_from([0.0, 0.0, 1.0, 30.0, 59.0, 100.0]),
        search=st.integers(0, 2),
        tokens=st.integers(0, 60),
        share=st.floats(0, 1),
        seconds=st.sampled_from([0.0, 1.0, 20.0, 90.0]),
    ),
    max_size=25,
)


def play(asks: list[Ask], limits: RateLimits) -> list[tuple[float, Ask]]:
    """When each request was admitted."""
    sent: list[tuple[float, Ask]] = []

    async def one(ask: Ask) -> None:
        await trio.sleep(ask.at)
        admission = await limits.admit(ask.search, ask.tokens)
        sent.append((trio.current_time(), ask))
        await trio.sleep(ask.seconds)
        limits.settle(admission, int(ask.share * ask.tokens))

    async def everybody() -> None:
        async with trio.open_nursery() as nursery:
            for ask in asks:
                nursery.start_soon(one, ask)

    trio.run(everybody, clock=MockClock(autojump_threshold=0))
    start = min((at - ask.at for at, ask in sent), default=0.0)
    return [(at - start, ask) for at, ask in sent]


@settings(max_examples=200)
@given(_ASKS, st.integers(1, 8), st.integers(30, 120))
def test_no_minute_is_above_the_rate(asks: list[Ask], requests: int, tokens: int) -> None:
    sent = play(asks, RateLimits(requests, tokens))
    assert len(sent) == len(asks)
    for start, _ in sent:
        within = [(at, one) for at, one in sent if start <= at < start + MINUTE]
        assert len(within) <= requests
        # What they have cost, and by itself a request may cost more than a minute has.
        cost = sum(int(one.share * one.tokens) for _, one in within)
        assert cost <= max([tokens, *(one.tokens for _, one in within)])
    for place, (now, last) in enumerate(sent):
        # When each was admitted: it with all that it may cost, and the others with what was known of them.
        before = [(at, one) for at, one in sent[:place] if at > now - MINUTE]
        known = [
            int(one.share * one.tokens) if at + one.seconds < now else one.tokens
            for at, one in before
        ]
        least = [
            min(int(one.share * one.tokens), count)
            for (_, one), count in zip(before, known, strict=True)
        ]
        assert not before or sum(least) + last.tokens <= tokens


def test_it_is_no_slower_than_needed() -> None:
    asks = [Ask(0.0, 0, 10, 1.0, 0.0)] * 25
    times = [at for at, _ in play(asks, RateLimits(10, None))]
    assert times == pytest.approx([0.0] * 10 + [60.0] * 10 + [120.0] * 5)
    times = [at for at, _ in play(asks, RateLimits(None, 100))]
    assert times == pytest.approx([0.0] * 10 + [60.0] * 10 + [120.0] * 5)


def test_what_was_reserved_and_not_spent_is_given_back_at_once() -> None:
    asks = [Ask(0.0, 0, 40, 0.1, 2.0)] * 10
    times = [at for at, _ in play(asks, RateLimits(None, 100))]
    # Of 100 tokens two have room with 40 each, until six have spent 24.
    assert times == pytest.approx([0, 0, 2, 2, 4, 4, 6, 8, 10, 12])


def test_searches_take_turns() -> None:
    asks = [Ask(0.0, 0, 0, 1.0, 0.0)] * 20 + [Ask(0.0, 1, 0, 1.0, 0.0)] * 2
    sent = play(asks, RateLimits(4, None))
    served = Counter(ask.search for at, ask in sent if at < 121)
    assert served[1] == 2  # in the order of arrival the last would come after 300 seconds


async def test_a_wait_can_be_cancelled(autojump_clock: MockClock) -> None:
    limits = RateLimits(1, None)
    await limits.admit("a", 0)
    with trio.move_on_after(5) as scope:
        await limits.admit("a", 0)
    assert scope.cancelled_caught
    await limits.admit("b", 0)
    assert trio.current_time() == pytest.approx(60, abs=1e-6)
