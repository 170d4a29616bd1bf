"""`mcmc`: chains at the same time, what becomes of one that fails or hangs, and what is left (nothing)."""

from __future__ import annotations

from typing import Any

import attrs
import httpx
import pytest
import trio
from trio.testing import MockClock, assert_checkpoints

from tests.engine.models import WithoutProposal
from tests.servers.mock_server import MockServer, answering
from trio_beam import (
    BeamTimeout,
    ConfigError,
    LogprobsUnavailable,
    McmcConfig,
    RequestRejected,
    RetryPolicy,
    SampleRequest,
    SearchFailed,
    ServerError,
    mcmc,
    mcmc_within,
)
from trio_beam.core.block import known
from trio_beam.core.events import (
    BeamFailed,
    ChainExtended,
    ChainStepped,
    Event,
    McmcStarted,
    SearchFinished,
)
from trio_beam.testing import FakeEndpoint

CONFIG = McmcConfig(tokens_per_step=4, max_tokens=12, steps=3, chains=3, seed=5)
#: Requests of a chain whose text does not end.
REQUESTS = 3 * (1 + 3)
BROKEN = ServerError("it broke", status=500, attempts=3)


def model_where(chain: int, serial: int, error: Exception | None = None) -> FakeEndpoint:
    """A model in which one sample of a chain, counted from 0, fails after half of the latency, or hangs."""
    seeds: list[int] = []

    async def before(request: SampleRequest) -> None:
        assert request.seed is not None
        seeds.append(request.seed)
        if request.seed == min(seeds) + serial * CONFIG.chains + chain and len(seeds) >= 3:
            await trio.sleep(0.5 if error else 10**6)
            if error is not None:
                raise error

    return FakeEndpoint(latency=1.0, before=before)


async def test_chains_run_at_the_same_time(autojump_clock: MockClock) -> None:
    model = FakeEndpoint(latency=1.0)
    events: list[Event] = []
    result = await mcmc(model, "p", CONFIG, observers=[events.append])
    assert trio.current_time() <= REQUESTS
    assert model.in_flight == 0
    assert len(result.beams) == 3
    assert result.text == result.beams[0].text
    assert result.score == result.beams[0].score == 4 * known(result.beams[0].logprob)
    assert result.usage.requests == len(model.requests)
    assert result.stop_reason in {"finished", "max_tokens"}
    assert result.rounds == 3
    assert result.exact
    for beam in result.beams:
        assert beam.logprob == pytest.approx(sum(token.logprob for token in beam.tokens))
        assert beam.ended or beam.length == 12
        assert beam.weight == 1 / 3
    # What observers saw.
    assert events[0] == McmcStarted(config=CONFIG)
    assert events[-1] == SearchFinished(result=result)
    for chain in range(3):
        steps = [
            (event.block, event.step)
            for event in events
            if isinstance(event, ChainStepped) and event.chain == chain
        ]
        assert steps == [(block, step) for block in (1, 2, 3) for step in (1, 2, 3)]
    accepted = [event.accepted for event in events if isinstance(event, ChainStepped)]
    assert True in accepted
    assert False in accepted
    assert any(isinstance(event, ChainExtended) for event in events)


async def test_every_sample_has_a_seed_of_its_own_and_they_replay(
    autojump_clock: MockClock,
) -> None:
    async with MockServer().endpoint() as endpoint:
        one = await mcmc(endpoint, "p", CONFIG)
    server = MockServer(answering(lambda: httpx.Response(500), 4))
    async with server.endpoint(retry=RetryPolicy(wait_initial=1), max_concurrent=1) as endpoint:
        two = await mcmc(endpoint, "p", CONFIG)
        other = await mcmc(endpoint, "p", attrs.evolve(CONFIG, seed=6))
    assert [beam.text for beam in one.beams] == [beam.text for beam in two.beams]
    assert one.text != other.text
    bodies = server.bodies[: 3 * REQUESTS + 1]
    assert len({body["seed"] for body in bodies}) == 3 * REQUESTS  # the retry keeps its own
    assert all(body["temperature"] == 1 for body in bodies)
    assert two.usage.retries == 1


async def test_without_a_seed_no_two_runs_are_the_same(autojump_clock: MockClock) -> None:
    model = FakeEndpoint()
    config = attrs.evolve(CONFIG, seed=None)
    texts = {(await mcmc(model, "p", config)).text for _ in range(4)}
    assert len(texts) > 1
    assert {request.seed for request in model.requests} == {None}


async def test_what_is_sent_continues_the_prefix(autojump_clock: MockClock) -> None:
    server = MockServer()
    async with server.endpoint() as endpoint:
        result = await mcmc(endpoint, "p", attrs.evolve(CONFIG, chains=1, max_tokens=4))
    for body in server.bodies:
        words = body["prompt"].split()
        assert len(words) - 1 + body["max_tokens"] == 4
    assert not result.exact  # by text
    assert len(server.bodies) == 4


async def test_a_failing_chain_ends_the_others_at_once(autojump_clock: MockClock) -> None:
    model = model_where(1, 2, BROKEN)
    events: list[Event] = []
    with pytest.raises(SearchFailed, match="in block 1: it broke") as caught:
        await mcmc(model, "p", CONFIG, observers=[events.append])
    assert trio.current_time() == 2.5
    assert (model.in_flight, model.cancelled) == (0, 2)
    [failure] = caught.value.failures
    assert (failure.round, failure.attempts, failure.error) == (1, 3, BROKEN)
    assert failure.beam.length > 0
    assert isinstance(caught.value.__cause__, ExceptionGroup)
    assert caught.value.__cause__.exceptions == (BROKEN,)
    partial = caught.value.partial
    assert (partial.stop_reason, len(partial.beams)) == ("failed", 3)
    assert partial.text
    assert partial.usage.completion_tokens > 0
    assert [event.rank for event in events if isinstance(event, BeamFailed)] == [1]


async def test_drop_beam_goes_on_with_the_others(autojump_clock: MockClock) -> None:
    config = attrs.evolve(CONFIG, on_beam_failure="drop_beam", min_beams=2)
    result = await mcmc(model_where(1, 2, BROKEN), "p", config)
    assert len(result.beams) == 2
    assert [failure.error for failure in result.failures] == [BROKEN]
    assert result.rounds == 3
    with pytest.raises(SearchFailed):
        await mcmc(model_where(1, 2, BROKEN), "p", attrs.evolve(config, min_beams=3))


async def test_a_hanging_chain_ends_at_its_timeout(autojump_clock: MockClock) -> None:
    model = model_where(0, 1)
    with pytest.raises(SearchFailed) as caught:
        await mcmc(model, "p", attrs.evolve(CONFIG, beam_timeout=50))
    assert trio.current_time() == 51
    [failure] = caught.value.failures
    assert isinstance(failure.error, BeamTimeout)
    assert "beam_timeout=50" in str(failure.error)
    # The others had come to their ends long before.
    assert [beam.ended or beam.length == 12 for beam in caught.value.partial.beams].count(True) >= 2
    assert model.in_flight == 0


async def test_outer_cancellation_passes_through_at_once(autojump_clock: MockClock) -> None:
    model = FakeEndpoint(latency=10)
    with trio.move_on_after(25) as scope:
        await mcmc(model, "p", CONFIG)
    assert scope.cancelled_caught
    assert trio.current_time() == 25
    assert (model.in_flight, model.cancelled) == (0, 3)


async def test_within_returns_the_texts_as_they_stand(autojump_clock: MockClock) -> None:
    model = FakeEndpoint(latency=10)
    result = await mcmc_within(25, model, "p", CONFIG)
    assert trio.current_time() == 25
    assert (result.stop_reason, len(result.beams), result.rounds) == ("deadline", 3, 0)
    assert result.text
    assert model.in_flight == 0
    assert (await mcmc_within(5, model, "p", CONFIG)).beams == ()
    assert (await mcmc_within(1e9, model, "p", CONFIG)).stop_reason != "deadline"
    with pytest.raises(ConfigError, match="seconds"):
        await mcmc_within(-1, model, "p", CONFIG)


async def test_tokens_are_shared_and_never_overrun(autojump_clock: MockClock) -> None:
    server = MockServer()
    async with server.endpoint() as endpoint:
        result = await mcmc(endpoint, "p", attrs.evolve(CONFIG, max_completion_tokens=40))
    assert result.stop_reason == "budget"
    assert result.usage.completion_tokens <= 40
    assert sum(body["max_tokens"] for body in server.bodies) == result.usage.completion_tokens
    assert all(beam.length >= 4 for beam in result.beams)


@pytest.mark.parametrize("most", [1, 3, 10, 20])
async def test_requests_are_shared_and_never_overrun(autojump_clock: MockClock, most: int) -> None:
    server = MockServer()
    async with server.endpoint(dialect="auto", model=None) as endpoint:
        result = await mcmc(endpoint, "p", attrs.evolve(CONFIG, max_requests=most))
    assert result.stop_reason == "budget"
    asked = len(server.bodies) - 3 * ((most - 1) // 3)  # what the server is
    assert asked == 1
    assert result.usage.requests == len(server.bodies) <= most


async def test_a_budget_does_not_depend_on_who_is_fast(autojump_clock: MockClock) -> None:
    async def slowly(number: int, body: dict[str, Any]) -> None:
        await trio.sleep(body["seed"] % 7)

    config = attrs.evolve(CONFIG, max_completion_tokens=60)
    results = []
    for server in (MockServer(), MockServer(slowly)):
        async with server.endpoint() as endpoint:
            results.append(await mcmc(endpoint, "p", config))
    texts = [[beam.text for beam in result.beams] for result in results]
    assert texts[0] == texts[1]


async def test_a_prompt_that_is_refused(autojump_clock: MockClock) -> None:
    class Refusing(FakeEndpoint):
        async def start(self, prompt: Any, call: Any) -> FakeEndpoint:
            await trio.lowlevel.checkpoint()
            raise RequestRejected("no", status=404, attempts=1)

    with pytest.raises(SearchFailed, match="before its first block: no") as caught:
        await mcmc(Refusing(), "p", CONFIG)
    assert caught.value.partial.beams == ()
    assert [failure.round for failure in caught.value.failures] == [0]


async def test_without_log_q_another_temperature_is_refused(autojump_clock: MockClock) -> None:
    model = WithoutProposal(latency=1)
    with pytest.raises(SearchFailed, match=r"in block 1: .*it has to be 1") as caught:
        await mcmc(model, "p", attrs.evolve(CONFIG, proposal_temperature=0.5))
    assert all(isinstance(one.error, LogprobsUnavailable) for one in caught.value.failures)
    assert trio.current_time() == 1
    assert model.in_flight == 0


async def test_what_cannot_be_run_is_refused_before_anything_is_sent() -> None:
    model = FakeEndpoint()
    for prompt, config in [("", CONFIG), ("p", {"alpha": 2})]:
        with pytest.raises(ConfigError):
            await mcmc(model, prompt, config)  # type: ignore[arg-type]
    assert model.requests == []


async def test_stop_strings_end_texts(autojump_clock: MockClock) -> None:
    model = FakeEndpoint()
    config = attrs.evolve(CONFIG, stop=(" cat",), chains=8)
    result = await mcmc(model, "p", config)
    assert not any(" cat" in beam.text for beam in result.beams)
    stopped = [beam for beam in result.beams if beam.trim]
    assert stopped
    assert all(beam.tokens[-1].text == " cat" for beam in stopped)


async def test_it_checkpoints() -> None:
    config = attrs.evolve(CONFIG, max_tokens=1)
    with assert_checkpoints():
        await mcmc(FakeEndpoint(), "p", config)
    with assert_checkpoints():
        await mcmc_within(0, FakeEndpoint(), "p", config)
