"""The words about a result."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from tests.core.builders import block, chain
from trio_beam import Beam, BeamSearchConfig, SearchResult
from trio_beam.cli.closing import describe_result, explain_nothing, explain_thinking
from trio_beam.core.result import StopReason
from trio_beam.core.tool_calls import ToolCall
from trio_beam.core.usage import Usage

ONE = chain([block("a", "b", logprob=-0.25)]).replace(score=-1.5)
OTHER = chain([block("c", logprob=-2.0)]).replace(score=-2.25)


def result(*beams: Beam, stop_reason: StopReason = "finished", **more: Any) -> SearchResult:
    usage = Usage(completion_tokens=7, requests=3)
    best = SearchResult(
        text=beams[0].text if beams else "",
        score=beams[0].score if beams else -float("inf"),
        beams=beams,
        usage=usage,
        rounds=1,
        stop_reason=stop_reason,
    )
    return attrs.evolve(best, **more)


def test_the_score_is_explained_and_the_cost_is_named() -> None:
    assert list(describe_result(result(ONE, OTHER), "Some-Model", 1.26)) == [
        "score -1.5000: mean log-probability -0.25 a token (2); the runner-up -2.2500",
        "Some-Model: 7 tokens in 3 requests, 1.3 s",
    ]


def test_a_particle_has_its_weight_and_a_vote_its_shares() -> None:
    drawn = ONE.replace(weight=0.375)
    lines = list(describe_result(result(drawn, votes=(("12", 0.75), ("13", 0.25))), "", 0.0))
    assert lines[0] == "votes: 12 75%, 13 25%"
    assert lines[1].endswith("a token (2); drawn with 38% of the weight")
    assert lines[2] == "7 tokens in 3 requests, 0.0 s"


@pytest.mark.parametrize(
    ("stop_reason", "options"),
    [
        ("deadline", ["--within", "--tokens-per-step, now 32"]),
        ("budget", ["--max-requests", "--tokens-per-step, now 32"]),
    ],
)
def test_no_answer_says_what_to_change(stop_reason: StopReason, options: list[str]) -> None:
    config = BeamSearchConfig(tokens_per_step=32)
    said = explain_nothing(result(stop_reason=stop_reason), config, 2.5)
    assert all(option in said for option in options)


def test_a_score_without_log_probabilities_stands_alone() -> None:
    lines = list(describe_result(result(ONE.replace(logprob=None)), "", 0.0))
    assert lines[0] == "score -1.5000"


def test_thinking_without_an_answer_says_what_to_change() -> None:
    config = BeamSearchConfig(max_tokens=2)
    cut = explain_thinking(result(ONE), config)
    assert "still thinking after 2 tokens; raise --max-tokens (now 2)" in cut
    ended = explain_thinking(result(ONE.replace(finished=True, finish_reason="stop")), config)
    assert "ended its text without an answer" in ended


def test_step_scores_and_thinking_are_told() -> None:
    best = ONE.replace(logprob=None, step_scores=(0.5, 0.25))
    usage = Usage(completion_tokens=7, reasoning_tokens=4, discarded_tokens=2, requests=3)
    assert list(describe_result(result(best, usage=usage), "", 0.0)) == [
        "score -1.5000: steps 0.50 0.25",
        "7 tokens (4 thinking) (2 thrown away) in 3 requests, 0.0 s",
    ]


def test_cached_tokens_and_the_cost_are_told() -> None:
    usage = Usage(
        prompt_tokens=50,
        cached_tokens=10,
        completion_tokens=7,
        requests=3,
        cost=0.0021,
        uncertain_cost=0.001,
        unpriced=1,
    )
    assert list(describe_result(result(ONE, usage=usage), "m", 0.0))[-1] == (
        "m: 7 tokens in 3 requests, 0.0 s; 50 prompt tokens, 20% of them cached;"
        " $0.0021 ($0.0010 of it at most, without 1 request of unknown price)"
    )


def test_a_tool_call_that_was_cut_off_is_told() -> None:
    cut = attrs.evolve(block("x"), data=b"", tool_calls=(ToolCall("weather", "{"),))
    said = explain_thinking(result(Beam().extend(cut)), BeamSearchConfig(max_tokens=9))
    assert said == (
        "no answer: the model was still writing a tool call after 1 tokens; raise --max-tokens (now 9)"
    )
