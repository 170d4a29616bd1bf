"""Searches by a reward model: what is sent, what is kept, and how its requests fail and end."""

from __future__ import annotations

import math
from typing import Any

import attrs
import httpx
import pytest
import trio
from trio.testing import MockClock

from tests.rewards.reward_server import TAG, RewardServer, value
from tests.rewards.test_calls import load
from trio_beam import (
    BeamSearchConfig,
    ConfigError,
    EvaluationStarted,
    Event,
    RequestRejected,
    RetryPolicy,
    RewardModel,
    RoundFinished,
    SearchFailed,
    SearchResult,
    Steps,
    Token,
    Vote,
    beam_search,
    search_many,
)
from trio_beam.core.beam import Beam
from trio_beam.core.export import result_to_dict
from trio_beam.core.reward_scorer import steps_of
from trio_beam.strategies import make_strategy
from trio_beam.testing import FakeEndpoint, Reply, ScriptedModel

BASE = BeamSearchConfig(
    beam_width=3, n_per_beam=2, tokens_per_step=2, max_tokens=6, seed=1, early_stopping=False
)
BROKEN = httpx.Response(500, json={"error": "broken"})


async def run(
    server: RewardServer, *, prompt: Any = "p", model: Any = None, **changes: Any
) -> SearchResult:
    """Search with a process reward model on a server."""
    given = {name: changes.pop(name) for name in list(changes) if name in REWARD}
    options = {name: changes.pop(name) for name in list(changes) if name in OPTIONS}
    async with server.endpoint(**options) as endpoint:
        config = attrs.evolve(BASE, scorer=RewardModel(endpoint=endpoint, **given), **changes)
        return await beam_search(model or FakeEndpoint(), prompt, config)


REWARD = {"kind", "api", "aggregate", "separator", "template", "label"}
OPTIONS = {"retry", "max_concurrent", "attempt_timeout"}


async def test_a_round_is_one_request_and_each_block_has_a_score(
    autojump_clock: MockClock,
) -> None:
    server = RewardServer()
    seen: list[Event] = []
    async with server.endpoint() as endpoint:
        scorer = RewardModel(endpoint=endpoint, aggregate="min")
        config = attrs.evolve(BASE, scorer=scorer)
        result = await beam_search(FakeEndpoint(), "p", config, observers=[seen.append])
    started = [event for event in seen if isinstance(event, EvaluationStarted)]
    assert {event.purpose for event in started} == {"reward"}
    assert [event.candidates for event in started] == server.sizes
    assert len(server.sizes) == result.rounds == 3
    assert set(server.paths) == {"/pooling"}
    for beam in result.beams:
        blocks = [block.fragment for block in beam.lineage()]
        if blocks[-1] == "":  # only the end of the text: a part of the step before
            blocks.pop()
        assert beam.step_scores == pytest.approx(list(map(value, blocks)))
        assert beam.score == min(beam.step_scores)
        assert any(
            text == "p" + "".join(block + TAG for block in blocks)
            for body in server.bodies
            for text in body["input"]
        )
    exported = result_to_dict(result)["beams"]
    assert [one["step_scores"] for one in exported] == [list(b.step_scores) for b in result.beams]
    assert result.usage.prompt_tokens >= 7 * sum(server.sizes)


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [("last", 0.25), ("min", 0.25), ("prod", 0.09375), ("mean", 0.5)],
)
def test_aggregates(aggregate: Any, expected: float) -> None:
    model = RewardModel("http://rm", aggregate=aggregate)
    assert model.score_of((0.75, 0.5, 0.25)) == expected
    assert model.score_of(()) == -math.inf


async def test_an_outcome_model_scores_whole_texts_and_its_history_is_kept(
    autojump_clock: MockClock,
) -> None:
    server = RewardServer()
    result = await run(server, kind="outcome")
    assert set(server.paths) == {"/classify"}
    for beam in result.beams:
        texts = [block.text for block in beam.lineage()]
        assert beam.step_scores == pytest.approx([value(text) for text in texts])
        assert beam.score == beam.step_scores[-1]


@pytest.mark.parametrize("kind", ["process", "outcome"])
async def test_a_step_that_takes_several_blocks_counts_once(
    kind: Any, autojump_clock: MockClock
) -> None:
    seen: list[Beam] = []

    def scores(prompt: str, candidates: Any) -> Any:
        return [
            0.5 ** len(steps) if kind == "outcome" else [value(step) for step in steps]
            for steps in candidates
        ]

    def watch(event: Event) -> None:
        if isinstance(event, RoundFinished):
            seen.append(event.best)

    scorer = RewardModel(function=scores, kind=kind, aggregate="prod")
    config = attrs.evolve(BASE, scorer=scorer, block=Steps(" dog"), max_tokens=12)
    result = await beam_search(FakeEndpoint(), "p", config, observers=[watch])
    assert any(len(steps_of(beam)) < len(beam.lineage()) for beam in result.beams)
    assert any(len(beam.step_scores) > 1 for beam in result.beams)
    for beam in (*result.beams, *seen):
        steps = steps_of(beam)
        expected = (
            [0.5 ** (count + 1) for count in range(len(steps))]
            if kind == "outcome"
            else list(map(value, steps))
        )
        assert beam.step_scores == pytest.approx(expected)
        assert beam.score == pytest.approx(math.prod(expected))


async def test_thinking_is_not_scored(autojump_clock: MockClock) -> None:
    said = ["one\n", "two", "</think>\n", "three\n", "four"]
    model = ScriptedModel(Reply(tokens=[Token(text, -1.0) for text in said]))
    seen: list[list[str]] = []

    def scores(prompt: str, candidates: Any) -> Any:
        seen.extend(candidates)
        return [[0.5] * len(steps) for steps in candidates]

    scorer = RewardModel(function=scores)
    config = BeamSearchConfig(
        beam_width=1, n_per_beam=1, block=Steps("\n"), scorer=scorer, reasoning="opened"
    )
    result = await beam_search(model, "p", config)
    assert result.text == "three\nfour"
    assert result.beams[0].step_scores == (0.5, 0.5)
    assert seen == [["three\n"], ["three\n", "four"]]


async def test_a_conversation_goes_through_the_servers_template(autojump_clock: MockClock) -> None:
    server = RewardServer()
    messages = [{"role": "user", "content": "p"}]
    result = await run(server, prompt=messages)
    assert all(body["messages"][:1] == messages for body in server.bodies)
    assert server.bodies[-1]["messages"][-1]["role"] == "assistant"
    assert len(server.bodies) > 3
    assert all(beam.step_scores for beam in result.beams)
    server = RewardServer()
    await run(server, prompt=messages, template="Q: {prompt} A: {text}")
    assert len(server.bodies) == 3
    assert all(text.startswith("Q: p A: ") for text in server.bodies[0]["input"])


async def test_a_server_that_takes_fewer_texts_is_asked_more_often_and_learnt_once(
    autojump_clock: MockClock,
) -> None:
    server = RewardServer()
    server.max_batch = 4
    whole = await run(RewardServer())
    result = await run(server)
    assert [beam.score for beam in result.beams] == [beam.score for beam in whole.beams]
    assert [size > 4 for size in server.sizes].count(True) == 1
    assert server.sizes[0] > 4


@pytest.mark.parametrize(
    "refusal",
    [
        httpx.Response(400, json={"error": {"message": "not this text"}}),
        httpx.Response(500, json=load("llamacpp__rerank_too_long")["response"]["body"]),
    ],
)
async def test_one_text_that_is_refused_fails_alone(
    refusal: httpx.Response, autojump_clock: MockClock
) -> None:
    server = RewardServer()
    server.refusal = refusal
    refused: set[str] = set()

    def refuses(text: str) -> bool:
        if not refused:
            refused.add(text)
        return text in refused

    server.refuses = refuses
    result = await run(server, on_beam_failure="drop_beam")
    (failure,) = result.failures
    assert isinstance(failure.error, RequestRejected)
    assert failure.beam.text in next(iter(refused))
    assert not any(beam.lineage()[0].same_tokens(failure.beam) for beam in result.beams)
    assert server.sizes[-1] > 1  # it was not the size


async def test_a_failure_is_retried_under_the_endpoints_policy(autojump_clock: MockClock) -> None:
    server = RewardServer()
    server.fails = lambda number: BROKEN if number == 0 else None
    result = await run(server, retry=RetryPolicy(attempts=2))
    assert result.usage.retries == 1
    assert result.failures == ()


async def test_a_budget_of_tokens_counts_what_it_reads(autojump_clock: MockClock) -> None:
    result = await run(RewardServer(), max_total_tokens=150)
    assert result.stop_reason == "budget"
    assert result.usage.prompt_tokens + result.usage.completion_tokens <= 150


async def test_many_searches_share_its_connection(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that was named by a URL is opened by the first search and closed by the last."""
    server = RewardServer()
    scorer = RewardModel("http://rm/v1", "rm")
    assert scorer._connection is not None
    opened: list[bool] = []
    async with server.endpoint() as other:
        endpoint = scorer._connection.endpoint
        monkeypatch.setattr(endpoint, "_exchanges", other._exchanges)
        config = attrs.evolve(BASE, scorer=scorer)
        async with search_many(FakeEndpoint(latency=1.0), ["a", "b", "c"], config) as outcomes:
            async for outcome in outcomes:
                assert outcome.result is not None
                opened.append(endpoint.is_open)
    assert opened[0]
    assert not endpoint.is_open
    await scorer_is_usable_again(scorer)


async def scorer_is_usable_again(scorer: RewardModel) -> None:
    async with scorer.opened():
        assert scorer._connection is not None
        assert scorer._connection.endpoint.is_open


async def test_a_function_is_a_reward_model_too(autojump_clock: MockClock) -> None:
    async def later(prompt: str, steps: Any) -> Any:
        await trio.sleep(1)
        return [[value(step) for step in one] for one in steps]

    def at_once(prompt: str, steps: Any) -> Any:
        assert prompt == "p"
        return [value("".join(one)) for one in steps]

    for scorer in (
        RewardModel(function=later, aggregate="prod"),
        RewardModel(function=at_once, kind="outcome"),
    ):
        result = await beam_search(FakeEndpoint(), "p", attrs.evolve(BASE, scorer=scorer))
        best = result.beams[0]
        assert len(best.step_scores) == len(best.lineage())
        assert best.score == scorer.score_of(best.step_scores)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ([[0.5]], "one number per step"),
        ("abc", "failed: "),
        (None, "failed: TypeError"),
        ([[math.nan]] * 6, "not a finite number"),
    ],
)
async def test_a_function_that_returns_something_else_fails_the_search(
    returned: Any, message: str, autojump_clock: MockClock
) -> None:
    scorer = RewardModel(function=lambda prompt, steps: returned)
    config = attrs.evolve(BASE, scorer=scorer, deduplicate=False)
    with pytest.raises(SearchFailed, match=message):
        await beam_search(FakeEndpoint(), "p", config)


async def test_a_vote_can_be_weighted_by_rewards(autojump_clock: MockClock) -> None:
    def cats(text: str) -> bool:
        return " cat" in text

    result = await run(RewardServer(), kind="outcome", answer=Vote(cats, by="reward"))
    sums = {
        answer: sum(b.score * b.multiplicity for b in result.beams if cats(b.text) == answer)
        for answer in (True, False)
    }
    assert dict(result.votes) == pytest.approx(
        {answer: one / sum(sums.values()) for answer, one in sums.items() if one}
    )
    negative = RewardModel(function=lambda _, steps: [-1.0] * len(steps), kind="outcome")
    config = attrs.evolve(BASE, scorer=negative, answer=Vote(cats, by="reward"))
    with pytest.raises(SearchFailed, match=r"numbers from 0 up, not -1\.0"):
        await beam_search(FakeEndpoint(), "p", config)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "base_url must be given"),
        ({"base_url": "http://rm", "function": len}, "base_url must be given"),
        ({"base_url": "rm"}, "base_url must be a URL"),
        ({"base_url": "http://rm", "api": "score"}, "api must be 'auto' or 'pooling'"),
        ({"function": 7}, "function must be a function"),
        ({"endpoint": "http://rm"}, "endpoint must be an Endpoint"),
        ({"base_url": "http://a:hush@rm"}, "base_url has credentials"),
    ],
)
def test_what_does_not_go_together_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        RewardModel(**given)
    assert "hush" not in str(caught.value)


def test_a_name_alone_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ConfigError, match="base_url must be given"):
        BeamSearchConfig(scorer="reward_model")


def test_at_the_command_line_its_url_is_enough() -> None:
    made = make_strategy(
        "beam_search", {"reward_model": "http://rm/v1", "reward_model_kind": "outcome"}
    )
    assert made == BeamSearchConfig(scorer=RewardModel("http://rm/v1", kind="outcome"))
