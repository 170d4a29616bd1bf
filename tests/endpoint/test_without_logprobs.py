"""A strategy that needs no log-probabilities asks for none; one that does is refused at once (promise 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from trio.testing import MockClock

from tests.servers.mock_server import MockServer
from trio_beam import Beam, BeamSearchConfig, McmcConfig, SearchFailed, search
from trio_beam.errors import LogprobsUnavailable
from trio_beam.scorers import Judge, needs_logprobs
from trio_beam.strategies import best_of_n, greedy, power_sampling, sample, self_consistency
from trio_beam.testing import FakeEndpoint

CHAT = [{"role": "user", "content": "How many?"}]
THOUGHTS = [
    "<think>7?</think>The answer is 8",
    "<think>8</think>The answer is 9",
    "so 8</think>It is 8",
]


def server(texts: Sequence[str] = THOUGHTS) -> MockServer:
    """A hosted chat without log-probabilities, which it refuses."""

    async def respond(number: int, body: dict[str, Any]) -> httpx.Response:
        if "logprobs" in body:
            error = {"message": "logprobs are not supported with this model", "param": "logprobs"}
            return httpx.Response(400, json={"error": error})
        choices = [
            {"index": k, "message": {"content": texts[k % len(texts)]}, "finish_reason": "stop"}
            for k in range(body.get("n", 1))
        ]
        usage = {"prompt_tokens": 5, "completion_tokens": 4 * len(choices)}
        return httpx.Response(200, json={"choices": choices, "usage": usage})

    return MockServer(respond)


def longest(beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
    return [float(len(beam.text)) for beam in beams]


@pytest.mark.parametrize(
    ("strategy", "needs"),
    [
        (BeamSearchConfig(), True),
        (BeamSearchConfig(scorer="mean_logprob"), True),
        (BeamSearchConfig(selection="resample"), True),
        (BeamSearchConfig(scorer=longest, proposal="enumerate", tokens_per_step=1), True),
        (BeamSearchConfig(scorer=longest, top_logprobs=1), True),
        (BeamSearchConfig(scorer=longest), False),
        (BeamSearchConfig(scorer=longest, selection="subtrees"), False),
        (BeamSearchConfig(scorer=Judge()), False),
        (best_of_n(4), True),
        (best_of_n(4, scorer=longest), False),
        (self_consistency(4), False),
        (self_consistency(4, scorer="power"), True),
        (self_consistency(4, by="score"), True),
        (greedy(), True),
        (sample(scorer="equal"), False),
        (power_sampling(4), True),
        (McmcConfig(), True),
    ],
)
def test_a_strategy_says_whether_it_needs_them(strategy: Any, needs: bool) -> None:
    assert strategy.needs_logprobs is needs


async def test_a_vote_over_a_reasoning_model(autojump_clock: MockClock) -> None:
    hosted = server()
    async with hosted.endpoint() as endpoint:
        result = await search(endpoint, CHAT, self_consistency(3, r"\d+"))
    assert [(answer, round(3 * share)) for answer, share in result.votes] == [("8", 2), ("9", 1)]
    assert result.text == "The answer is 8"
    assert [beam.reasoning for beam in result.beams] == ["7?", "so 8", "8"]
    assert [beam.logprob for beam in result.beams] == [None] * 3
    assert result.usage.completion_tokens == 12
    assert result.exact
    assert len(hosted.bodies) == 1
    assert not {"logprobs", "top_logprobs"} & hosted.bodies[0].keys()


async def test_a_verifier_sees_the_answers_only(autojump_clock: MockClock) -> None:
    texts = ["<think>a very long thought</think>b", "bbb"]
    async with server(texts).endpoint() as endpoint:
        result = await search(endpoint, CHAT, best_of_n(2, scorer=longest))
    assert (result.text, result.score) == ("bbb", 3.0)


async def test_an_answer_that_never_came_is_not_chosen(autojump_clock: MockClock) -> None:
    texts = ["<think>a very long thought that does not end", "b"]
    async with server(texts).endpoint() as endpoint:
        result = await search(
            endpoint,
            CHAT,
            best_of_n(2, scorer=lambda beams, _: [-float(i) for i in range(len(beams))]),
        )
    assert result.text == "b"
    assert result.beams[1].unanswered


async def test_off_takes_the_text_as_it_is(autojump_clock: MockClock) -> None:
    async with server(["<think>a</think>b"]).endpoint() as endpoint:
        result = await search(endpoint, CHAT, sample(scorer="equal", reasoning="off"))
    assert result.text == "<think>a</think>b"


@pytest.mark.promise(5)
@pytest.mark.parametrize("strategy", [greedy(), best_of_n(2), BeamSearchConfig(), McmcConfig()])
async def test_what_needs_them_is_told_what_works_instead(
    autojump_clock: MockClock, strategy: Any
) -> None:
    hosted = server()
    async with hosted.endpoint() as endpoint:
        with pytest.raises(SearchFailed, match="self_consistency") as caught:
            await search(endpoint, CHAT, strategy)
    assert isinstance(caught.value.failures[0].error, LogprobsUnavailable)
    assert "scorer" in str(caught.value)


async def test_a_scorer_that_reads_them_is_told_how_to_ask(autojump_clock: MockClock) -> None:
    def confident(beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
        return [4.0 * beam.logprob for beam in beams]  # type: ignore[operator]  # that is the mistake

    strategy = best_of_n(2, scorer=confident)
    with pytest.raises(SearchFailed, match="needs_logprobs over"):
        await search(FakeEndpoint(), "p", strategy)
    result = await search(FakeEndpoint(), "p", best_of_n(2, scorer=needs_logprobs(confident)))
    assert result.beams[0].logprob is not None


async def test_a_prompt_that_opens_the_thinking(autojump_clock: MockClock) -> None:
    async def respond(number: int, body: dict[str, Any]) -> httpx.Response:
        choice = {"index": 0, "text": "hm", "finish_reason": "length"}
        usage = {"prompt_tokens": 5, "completion_tokens": body["max_tokens"]}
        return httpx.Response(200, json={"choices": [choice], "usage": usage})

    async with MockServer(respond).endpoint() as endpoint:
        opened = await search(endpoint, "How many?\n<think>\n", sample(scorer="equal"))
        plain = await search(endpoint, "How many?\n", sample(scorer="equal"))
    assert (opened.text, opened.beams[0].reasoning) == ("", "hm")
    assert (plain.text, plain.beams[0].reasoning) == ("hm", "")
