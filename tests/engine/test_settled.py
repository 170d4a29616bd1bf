"""A vote that ends when it is settled: timing changes nothing, and nothing is left running."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio._core import _run as trio_run
from trio.testing import MockClock

from tests.core.builders import block
from trio_beam import (
    BeamSearchConfig,
    Confidence,
    Continuation,
    RequestRejected,
    SampleRequest,
    SearchFailed,
    SearchResult,
    search,
)
from trio_beam.core.language_model import RequestContext
from trio_beam.core.prompt import Prompt
from trio_beam.core.seeds import base_seed
from trio_beam.engine.search import search_within
from trio_beam.strategies import self_consistency
from trio_beam.testing import FakeEndpoint
from trio_beam.testing.recorder import Recorder


class Numbered(Recorder):
    """A model whose sample k is reply k of a list, which starts over after the last."""

    def __init__(self, replies: Sequence[tuple[str, float]]) -> None:
        super().__init__()
        self._replies = replies
        self._first = base_seed(SEED)

    async def start(self, prompt: Prompt, context: RequestContext) -> Numbered:
        await trio.lowlevel.checkpoint()
        return self

    async def sample(
        self, request: SampleRequest, context: RequestContext
    ) -> Sequence[Continuation]:
        return await self.record(request, context, "", 1)

    async def answer(self, request: SampleRequest, prompt: str) -> Sequence[Continuation]:
        assert request.seed is not None
        assert request.n == 1
        text, seconds = self._replies[(request.seed - self._first) % len(self._replies)]
        await trio.sleep(seconds)
        return [block(*text.split(" "), reason="stop")]


SEED = 11
VOTE = self_consistency(12, "the|a", settle=0.8, ahead=4, max_tokens=6, seed=SEED)


def shuffled(seed: int) -> FakeEndpoint:
    """A model whose requests take from a second to an hour, whatever they are."""
    source = random.Random(seed)

    async def before(_: SampleRequest) -> None:
        await trio.sleep(source.choice([1, 1, 10, 3600]))

    return FakeEndpoint(before=before)


@given(st.integers(0, 10**6))
@settings(max_examples=60)
def test_the_same_samples_count_at_any_timing(timing: int) -> None:
    async def at(seed: int) -> SearchResult:
        model = shuffled(seed)
        found = await search(model, "p", VOTE)
        assert model.in_flight == 0
        assert found.usage.requests <= 12
        return found

    one, other = (trio.run(at, seed, clock=MockClock(autojump_threshold=0)) for seed in (timing, 0))
    assert one.votes == other.votes
    assert one.stop_reason == other.stop_reason == "settled"
    assert [beam.text for beam in one.beams] == [beam.text for beam in other.beams]


def vote(n: int, ahead: int, **others: Any) -> BeamSearchConfig:
    return self_consistency(n, "[0-9]+", ahead=ahead, max_tokens=4, seed=SEED, **others)


async def test_the_rest_is_cancelled_and_what_was_held_is_never_sent(
    autojump_clock: MockClock,
) -> None:
    model = Numbered([("7", 1), ("7", 1), ("7", 1), ("8", 3600)])
    result = await search(model, "p", vote(32, 6, settle=0.95))
    assert result.stop_reason == "settled"
    # The slow sample 3 had to be counted: 7, 7, 7, 8, 7, 7, 7.
    assert result.votes == (("7", 6 / 7), ("8", 1 / 7))
    assert trio.current_time() == 3600
    assert len(model.requests) == 9  # sample 7 was under way; 9 to 31 were never sent
    assert (model.cancelled, model.in_flight) == (1, 0)


@pytest.mark.parametrize("order", range(6))
async def test_the_samples_that_settle_it_have_the_first_slots(
    order: int, autojump_clock: MockClock
) -> None:
    """Trio may run new tasks in any order; with few slots, the last samples would keep the first waiting."""
    trio_run._r.seed(order)
    slots = trio.CapacityLimiter(4)

    async def before(_: SampleRequest) -> None:
        async with slots:
            await trio.sleep(1)

    config = self_consistency(12, lambda _: "same", settle=0.9, ahead=8, max_tokens=6, seed=SEED)
    result = await search(FakeEndpoint(before=before), "p", config)
    assert result.stop_reason == "settled"
    assert trio.current_time() == 1  # and not 2, behind samples that nobody needed


async def test_a_fast_wrong_answer_has_no_advantage(autojump_clock: MockClock) -> None:
    """Every third answer is short, fast and wrong."""
    model = Numbered([("8", 0.1), ("think 7", 60), ("think 7", 60)])
    result = await search(model, "p", vote(15, 15, settle="certain"))
    assert result.votes[0][0] == "7"
    assert result.text == "think7"


async def test_a_deadline_leaves_what_has_come_back(autojump_clock: MockClock) -> None:
    model = Numbered([("7", 1), ("8", 100)])
    result = await search_within(50, model, "p", vote(8, 3, settle="certain"))
    assert result.stop_reason == "deadline"
    assert result.text == "7"
    assert (model.in_flight, model.cancelled) == (0, 2)


@pytest.mark.promise(1)
async def test_a_failure_cancels_held_samples_too(autojump_clock: MockClock) -> None:
    async def before(request: SampleRequest) -> None:
        await trio.sleep(1)
        if len(model.requests) > 1:
            raise RequestRejected("no", status=400)

    model = FakeEndpoint(before=before)
    with pytest.raises(SearchFailed):
        await search(model, "p", vote(8, 2, settle=0.9))
    assert len(model.requests) == 2
    assert model.in_flight == 0


@pytest.mark.parametrize("limit", [3, 5])
async def test_a_budget_of_requests_ends_the_vote(autojump_clock: MockClock, limit: int) -> None:
    model = Numbered([("7", 1), ("8", 1)])
    result = await search(model, "p", vote(8, 2, settle=0.9, max_requests=limit))
    assert result.stop_reason == "budget"
    assert len(model.requests) == limit
    assert dict(result.votes) == {"7": (limit + 1) / 2 / limit, "8": (limit - 1) / 2 / limit}


@pytest.mark.parametrize(("settle", "counted"), [(0.95, 4), ("certain", 17)])
async def test_the_cost_is_that_of_the_samples_asked_for(
    autojump_clock: MockClock, settle: Any, counted: int
) -> None:
    model = Numbered([("7", 1)])
    result = await search(model, "p", vote(32, 1, settle=settle))
    assert result.usage.requests == len(model.requests) == counted
    assert result.usage.completion_tokens == counted
    assert result.usage.cancelled == 0


async def test_confidence_needs_alternatives(autojump_clock: MockClock) -> None:
    model = Numbered([("7", 1)])  # which shows none
    with pytest.raises(SearchFailed, match=r"shows no alternatives .* set top=0"):
        await search(model, "p", vote(4, 8, confidence=Confidence(warm_up=2)))
    config = vote(4, 8, confidence=Confidence(warm_up=2, top=0))
    assert (await search(model, "p", config)).votes == (("7", 1.0),)


async def test_texts_that_no_server_gives_up_are_cut(autojump_clock: MockClock) -> None:
    model = FakeEndpoint(latency=1)
    confidence = Confidence(warm_up=2, keep=0.1, window=2, top=0)
    config = self_consistency(12, max_tokens=12, seed=3, confidence=confidence)
    result = await search(model, "p", config)
    assert trio.current_time() == 2  # the first two, and then all others at once
    given_up = [beam for beam in result.beams if beam.finish_reason == "low_confidence"]
    assert given_up
    assert not any(beam.confident for beam in given_up)
    assert sum(share for _, share in result.votes) == pytest.approx(1)
    assert model.in_flight == 0
