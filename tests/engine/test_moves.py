"""Particles that move between rounds: their requests, their rewards, and what a failure or a limit does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from trio_beam import (
    Beam,
    BeamSearchConfig,
    ConfigError,
    Judge,
    Resample,
    SampleRequest,
    SearchFailed,
    ServerError,
    Steps,
    Token,
    search,
    search_within,
)
from trio_beam.core.events import ChainStepped, EvaluationStarted, Event
from trio_beam.testing import FakeEndpoint, Reply, ScriptedModel

CONFIG = BeamSearchConfig(
    selection=Resample(moves=2),
    alpha=2.0,
    beam_width=4,
    n_per_beam=1,
    tokens_per_step=2,
    max_tokens=6,
    seed=1,
)
YES = Token("yes", -0.2, 1, b"yes", top=(Token("yes", -0.2), Token("no", -2.0)))


async def later(beams: Sequence[Beam], config: Any) -> list[float]:
    await trio.sleep(0.1)
    return [float(beam.length) for beam in beams]


def with_(**changes: Any) -> BeamSearchConfig:
    return attrs.evolve(CONFIG, **changes)


async def test_all_particles_move_at_once_after_every_round(autojump_clock: MockClock) -> None:
    model = FakeEndpoint(latency=1.0)
    events: list[Event] = []
    result = await search(model, "p", CONFIG, observers=[events.append])
    # A round and its two waves of moves each take a second; an early end saves rounds of expansion only.
    assert trio.current_time() <= 3 * 3
    moves = [one for one in events if isinstance(one, EvaluationStarted) and one.purpose == "move"]
    assert [one.candidates for one in moves] == [4] * 6
    steps = [one for one in events if isinstance(one, ChainStepped)]
    assert len(steps) == 24
    assert result.acceptance_rates == (sum(one.accepted for one in steps) / 24,)
    assert result.rounds == 3
    assert all(beam.ended or beam.length == 6 for beam in result.beams)
    seeds = [request.seed + k for request in model.requests for k in range(request.n)]  # type: ignore[operator]
    assert len(seeds) == len(set(seeds))
    again = await search(FakeEndpoint(), "p", CONFIG)
    assert [beam.text for beam in again.beams] == [beam.text for beam in result.beams]


@pytest.mark.parametrize("at", ["block", "end"])
async def test_moves_ask_the_scorer(at: str, autojump_clock: MockClock) -> None:
    """A coroutine function, or a judge about all particles at once."""
    result = await search(FakeEndpoint(), "p", with_(scorer=later, reward_at=at))
    assert result.score == result.beams[0].length
    judge = ScriptedModel([Reply(tokens=[YES])])
    events: list[Event] = []
    wanted = with_(scorer=Judge(endpoint=judge, chat=False), reward_at=at)
    await search(FakeEndpoint(), "p", wanted, observers=[events.append])
    asked = [one for one in events if isinstance(one, EvaluationStarted) and one.purpose == "judge"]
    assert sum(one.candidates for one in asked) == len(judge.requests)
    assert max(one.candidates for one in asked) > 1


def broken_moves() -> FakeEndpoint:
    """A model that fails every third request for a move: it is not as long as a block."""
    count = 0

    async def before(request: SampleRequest) -> None:
        nonlocal count
        if request.n == 1 and request.max_tokens != 2:
            count += 1
            if count % 3 == 0:
                raise ServerError("it broke", status=500, attempts=3)

    return FakeEndpoint(before=before)


async def test_a_move_that_fails_ends_the_search_or_is_not_made(autojump_clock: MockClock) -> None:
    model = broken_moves()
    with pytest.raises(SearchFailed, match="it broke"):
        await search(model, "p", CONFIG)
    assert model.in_flight == 0
    result = await search(broken_moves(), "p", with_(on_beam_failure="drop_beam"))
    assert result.failures
    assert sum(beam.multiplicity for beam in result.beams) == 4


async def test_a_deadline_or_budget_within_moves_keeps_the_particles_before(
    autojump_clock: MockClock,
) -> None:
    result = await search_within(1.5, FakeEndpoint(latency=1.0), "p", CONFIG)
    plain = await search_within(1.5, FakeEndpoint(latency=1.0), "p", with_(selection=Resample()))
    assert result.rounds == plain.rounds == 1
    assert {beam.text for beam in result.beams} == {beam.text for beam in plain.beams}
    spent = await search(FakeEndpoint(), "p", with_(max_requests=3))
    assert spent.stop_reason == "budget"
    assert spent.rounds == 1
    assert {beam.text for beam in spent.beams} == {beam.text for beam in plain.beams}


async def test_a_scorer_that_fails_within_moves_fails_the_search(autojump_clock: MockClock) -> None:
    calls = 0

    def scorer(beams: Sequence[Beam], config: Any) -> list[float]:
        nonlocal calls
        calls += 1
        return [math.nan if calls > 3 else 0.0] * len(beams)

    with pytest.raises(SearchFailed, match="not a number"):
        await search(FakeEndpoint(), "p", with_(scorer=scorer))


def test_steps_are_refused() -> None:
    with pytest.raises(ConfigError, match="block must be None with moves"):
        with_(block=Steps())


def test_a_response_format_is_refused_before_anything_is_sent() -> None:
    """A move regrows a text behind any of its tokens, where a format would start anew."""
    with pytest.raises(ConfigError, match="moves must be 0"):
        with_(tokens_per_step=6, extra_body={"response_format": {"type": "json_object"}})


async def test_a_text_that_moved_has_its_score() -> None:
    result = await search(FakeEndpoint(), "p", CONFIG)
    assert any(result.acceptance_rates)
    for beam in result.beams:
        assert beam.logprob is not None
        assert beam.score == pytest.approx(2.0 * beam.logprob / beam.length**0.6)
