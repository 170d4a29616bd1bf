"""Requests about a round's candidates: rollouts, a judge and a reward model, and how they fail and end.

All that holds for expansions holds for them: deadlines, timeouts, failures of one, budgets, cancellation.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx
import pytest
import trio
from trio.testing import MockClock

from tests.rewards.reward_server import RewardServer
from trio_beam import (
    BeamSearchConfig,
    BeamTimeout,
    BudgetExhausted,
    Judge,
    LogprobsUnavailable,
    Lookahead,
    Resample,
    RewardModel,
    SampleRequest,
    SearchFailed,
    ServerError,
    beam_search,
    beam_search_within,
)
from trio_beam.core.block import Continuation, Token
from trio_beam.core.events import EvaluationStarted, Event
from trio_beam.core.language_model import RequestContext
from trio_beam.core.prompt import Prompt
from trio_beam.testing import FakeEndpoint

BASE = BeamSearchConfig(
    beam_width=3, n_per_beam=2, tokens_per_step=2, max_tokens=6, seed=1, early_stopping=False
)
ROLLOUTS = attrs.evolve(BASE, selection=Resample(lookahead=Lookahead(1, 3)), alpha=3.0)
LATENCY = 10.0


class Asked(FakeEndpoint):
    """A model that tells what is asked about candidates from what is asked to expand them.

    As a judge it says yes to what has cats, and is the surer the more.
    """

    def __init__(self, aside: Callable[[SampleRequest], bool], **given: Any) -> None:
        super().__init__(latency=LATENCY, **given)
        self.is_aside = aside
        self.prompts: list[Prompt] = []
        self.fails: Callable[[int], Exception | None] = lambda _: None
        self.hangs: Callable[[int], bool] = lambda _: False
        self.asides = 0

    async def start(self, prompt: Prompt, context: RequestContext) -> Any:
        """A judge's question, or the prompt that is searched."""
        await super().start(prompt, context)
        self.prompts.append(prompt)
        return self if prompt.text == "p" else _Judging(self, prompt)

    async def sample(self, request: SampleRequest, context: RequestContext) -> Any:
        """With the failures that are wanted of what is asked aside."""
        if self.is_aside(request):
            await self.trip()
        return await super().sample(request, context)

    async def trip(self) -> None:
        """Fail or hang, if it is time to."""
        number, self.asides = self.asides, self.asides + 1
        if self.hangs(number):
            await trio.sleep_forever()
        if (error := self.fails(number)) is not None:
            raise error


@attrs.frozen
class _Judging:
    model: Asked
    prompt: Prompt

    max_per_request: int | None = None

    async def sample(self, request: SampleRequest, context: RequestContext) -> list[Continuation]:
        await self.model.trip()
        await FakeEndpoint.sample(self.model, request, context)
        assert self.prompt.messages is not None
        cats = self.prompt.messages[0]["content"].count(" cat")
        top = (Token("Yes", -1.0 / (1 + cats)), Token(" no", -1.5), Token("maybe", -4.0))
        return [Continuation(tokens=(Token("maybe", -4.0, top=top),), data=b"maybe")]


def rolling() -> Asked:
    """A model that is searched with `ROLLOUTS`: expansions ask for 2 or 6 samples, rollouts for 3."""
    return Asked(lambda request: request.n == 3)


def judging() -> tuple[Asked, BeamSearchConfig]:
    """A model that is its own judge."""
    return Asked(lambda _: False), attrs.evolve(BASE, scorer="judge")


@attrs.define
class World:
    """A search whose candidates are asked about: by a request for each, or for all by a reward model.

    Attributes:
        model: the one searched, which answers what is asked unless a server does.
        config: of the search.
        server: the reward model's.
    """

    model: Asked
    config: BeamSearchConfig
    server: RewardServer | None = None

    @property
    def asides(self) -> int:
        """Number of requests about candidates."""
        return self.model.asides if self.server is None else len(self.server.bodies)

    @property
    def cancelled(self) -> int:
        """How many requests about candidates were cancelled."""
        return self.model.cancelled if self.server is None else self.server.cancelled

    @property
    def in_flight(self) -> int:
        """Requests under way, of either kind."""
        return self.model.in_flight + (0 if self.server is None else self.server.in_flight)

    def fails(self, *numbers: int) -> None:
        """Let requests about candidates fail: those numbers, or all."""

        def broken(number: int) -> bool:
            return not numbers or number in numbers

        self.model.fails = lambda number: (
            ServerError("broken", status=500) if broken(number) else None
        )
        if self.server is not None:
            refusal = httpx.Response(500, json={"error": "broken"})
            self.server.fails = lambda number: refusal if broken(number) else None

    def hangs(self, first: int) -> None:
        """Let one request about candidates never be answered."""
        self.model.hangs = lambda number: number == first
        if self.server is not None:
            self.server.hangs = self.model.hangs


KINDS = pytest.mark.parametrize("kind", ["rollouts", "judge", "rewards"])


@asynccontextmanager
async def of(kind: str) -> AsyncIterator[World]:
    if kind != "rewards":
        yield World(rolling(), ROLLOUTS) if kind == "rollouts" else World(*judging())
        return
    server = RewardServer()
    async with server.endpoint() as endpoint:
        config = attrs.evolve(BASE, scorer=RewardModel(endpoint=endpoint))
        yield World(Asked(lambda _: False), config, server)


@KINDS
async def test_all_are_asked_at_once_between_expansion_and_selection(
    kind: str, autojump_clock: MockClock
) -> None:
    seen: list[Event] = []
    async with of(kind) as world:
        result = await beam_search(world.model, "p", world.config, observers=[seen.append])
    asides = [event for event in seen if isinstance(event, EvaluationStarted)]
    assert trio.current_time() == LATENCY * (result.rounds + len(asides))
    assert len(asides) >= 2
    assert asides[0].candidates >= 3
    sizes = [1 if kind == "rewards" else event.candidates for event in asides]
    assert sum(sizes) == world.asides
    assert world.in_flight == 0


async def test_the_judge_decides_and_is_told_the_prompt_and_the_text(
    autojump_clock: MockClock,
) -> None:
    model, config = judging()
    result = await beam_search(model, "p", config)
    usual = await beam_search(FakeEndpoint(), "p", BASE)
    assert result.text.count(" cat") > usual.text.count(" cat")
    assert result.score == pytest.approx(1.5 - 1 / (1 + result.text.count(" cat")))
    questions = [str(one.messages[0]["content"]) for one in model.prompts if one.messages]
    assert any(f"Answer so far:\n{result.text}\n" in question for question in questions)
    assert all("Task:\np\n" in question for question in questions)


async def test_another_model_can_be_the_judge(autojump_clock: MockClock) -> None:
    judge, searched = judging()[0], FakeEndpoint(latency=LATENCY)
    scorer = Judge(endpoint=judge, question="{text}? {prompt}")
    result = await beam_search(searched, "p", attrs.evolve(BASE, scorer=scorer))
    assert len(judge.prompts) == len(judge.requests) > 0
    asked = len(searched.requests) + len(judge.requests)
    assert result.usage.requests == asked
    assert all(request.max_tokens == 1 and request.top_logprobs == 20 for request in judge.requests)


async def test_rollouts_have_seeds_of_their_own(autojump_clock: MockClock) -> None:
    model = rolling()
    await beam_search(model, "p", ROLLOUTS)
    seeds = [
        request.seed + place
        for request in model.requests
        for place in range(request.n)
        if request.seed is not None
    ]
    assert len(seeds) == len(set(seeds)) == sum(request.n for request in model.requests)


@KINDS
async def test_one_that_fails_ends_the_search_and_nothing_is_lost(
    kind: str, autojump_clock: MockClock
) -> None:
    async with of(kind) as world:
        world.fails(1 if kind == "rewards" else 7)
        with pytest.raises(SearchFailed, match=r"in round 2: .*broken") as caught:
            await beam_search(world.model, "p", world.config)
        assert world.in_flight == 0
    failures, partial = caught.value.failures, caught.value.partial
    assert {one.round for one in failures} == {2}
    assert all(isinstance(one.error, ServerError) for one in failures)
    assert all(2 <= one.beam.length <= 4 for one in failures)
    assert len(failures) == 1 or kind == "rewards"  # of which a request is about all candidates
    assert partial.beams
    if kind == "rewards":
        assert all(beam.score > -math.inf for beam in partial.beams)


@pytest.mark.parametrize("kind", ["rollouts", "judge"])
async def test_with_drop_beam_its_candidate_is_dropped(
    kind: str, autojump_clock: MockClock
) -> None:
    async with of(kind) as world:
        world.fails(0)
        config = attrs.evolve(world.config, on_beam_failure="drop_beam")
        result = await beam_search(world.model, "p", config)
    (failure,) = result.failures
    assert isinstance(failure.error, ServerError)
    first = failure.beam
    assert not any(beam.lineage()[0].same_tokens(first) for beam in result.beams)


@KINDS
async def test_if_all_fail_drop_beam_fails_too(kind: str, autojump_clock: MockClock) -> None:
    async with of(kind) as world:
        world.fails()
        # Candidates that have ended need no rollouts, and survive.
        config = attrs.evolve(world.config, on_beam_failure="drop_beam", min_beams=3)
        with pytest.raises(SearchFailed) as caught:
            await beam_search(world.model, "p", config)
    asked = world.asides if world.server is None else world.server.sizes[0]
    assert len(caught.value.failures) == asked
    assert caught.value.partial.beams


@KINDS
async def test_one_that_hangs_ends_at_the_beams_timeout(
    kind: str, autojump_clock: MockClock
) -> None:
    async with of(kind) as world:
        world.hangs(0 if kind == "rewards" else 1)
        with pytest.raises(SearchFailed) as caught:
            await beam_search(world.model, "p", attrs.evolve(world.config, beam_timeout=25.0))
        assert all(isinstance(one.error, BeamTimeout) for one in caught.value.failures)
        assert trio.current_time() == LATENCY + 25
        assert world.in_flight == 0


@KINDS
@pytest.mark.parametrize("by", ["deadline", "cancel"])
async def test_a_deadline_or_a_cancellation_leaves_nothing(
    kind: str, by: str, autojump_clock: MockClock
) -> None:
    seconds = 1.5 * LATENCY
    async with of(kind) as world:
        if by == "cancel":
            with trio.move_on_after(seconds) as scope:
                await beam_search(world.model, "p", world.config)
            assert scope.cancelled_caught
        else:
            result = await beam_search_within(seconds, world.model, "p", world.config)
            # Candidates that have no scores yet stand where there is nothing else.
            assert result.beams
            assert (result.score == -math.inf) == (kind != "rollouts")
            assert result.stop_reason == "deadline"
        assert world.cancelled == world.asides > 0
        assert world.in_flight == 0
    assert trio.current_time() == seconds


@KINDS
async def test_a_budget_ends_it_with_the_best_so_far(kind: str, autojump_clock: MockClock) -> None:
    async with of(kind) as world:
        whole = await beam_search(world.model, "p", world.config)
    async with of(kind) as world:
        config = world.config
        if world.server is None:
            world.model.fails = _exhausted_after(8)
        else:  # the last scores cannot be afforded
            config = attrs.evolve(config, max_requests=whole.usage.requests - 1)
        result = await beam_search(world.model, "p", config)
    assert result.stop_reason == "budget"
    assert result.beams
    assert 0 < result.usage.completion_tokens <= whole.usage.completion_tokens
    assert result.usage.requests < whole.usage.requests
    if world.server is not None:
        assert result.beams[0].step_scores


def _exhausted_after(count: int) -> Callable[[int], Exception | None]:
    return lambda number: BudgetExhausted("no more") if number >= count else None


async def test_a_judge_that_says_neither_is_a_failure(autojump_clock: MockClock) -> None:
    judge = Judge(yes="ja", no=("nein", "nö"))
    with pytest.raises(SearchFailed, match="neither 'ja' nor 'nein'") as caught:
        await beam_search(judging()[0], "p", attrs.evolve(BASE, scorer=judge))
    assert isinstance(caught.value.failures[0].error, LogprobsUnavailable)


async def test_rollouts_stop_at_stop_strings(autojump_clock: MockClock) -> None:
    """The part of a rollout after a stop string belongs to no text."""
    selection = Resample(lookahead=Lookahead(4, 3))
    config = attrs.evolve(ROLLOUTS, selection=selection, stop=" dog", max_tokens=12)
    result = await beam_search(rolling(), "p", config)
    assert " dog" not in result.text


async def test_a_budget_is_not_overrun_by_rollouts(autojump_clock: MockClock) -> None:
    selection = Resample(lookahead=Lookahead(6, 9))
    config = attrs.evolve(ROLLOUTS, selection=selection, max_completion_tokens=60)
    result = await beam_search(Asked(lambda request: request.n == 9), "p", config)
    assert result.stop_reason == "budget"
    assert result.beams
    assert result.usage.completion_tokens <= 60


async def test_the_last_round_leaves_the_judge_its_tokens(autojump_clock: MockClock) -> None:
    model, config = judging()
    result = await beam_search(model, "p", attrs.evolve(config, max_completion_tokens=18))
    assert result.stop_reason == "budget"
    assert result.score > -math.inf
    assert result.usage.completion_tokens <= 18
