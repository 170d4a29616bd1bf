"""Texts that are given up because their confidence falls below that of the first ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.builders import block_of, opened
from trio_beam import BeamSearchConfig, Confidence, ConfigError
from trio_beam.core.beam_search.machine import BeamSearchMachine
from trio_beam.core.block import LENGTH, LOW_CONFIDENCE, STOP, Continuation, Token
from trio_beam.core.parameters import build
from trio_beam.core.result import SearchResult
from trio_beam.core.steps import Finished, Outcome
from trio_beam.strategies import self_consistency

FIRST = Confidence(warm_up=3, keep=0.5, window=2, top=0)


def vote(n: int, **others: Any) -> BeamSearchConfig:
    given: dict[str, Any] = {"max_tokens": 8, "confidence": FIRST, "deduplicate": False}
    return self_consistency(n, **(given | others))


def text(word: str, *logprobs: float, reason: str = STOP) -> Continuation:
    return block_of([Token(word, value) for value in logprobs], reason)


def play(config: BeamSearchConfig, samples: Sequence[Continuation], order: int) -> SearchResult:
    """Let the samples under way arrive in random order."""
    machine = BeamSearchMachine(config)
    current = opened(machine)
    assert len(samples) - current.held == min(3, len(samples))
    waiting = list(range(len(samples) - current.held))
    source = random.Random(order)
    while waiting:
        rank = waiting.pop(source.randrange(len(waiting)))
        outcome = Outcome(rank=rank, continuations={0: samples[rank]})
        reaction = machine.receive(outcome)
        waiting += [one.rank for one in reaction.begin]
        for cancelled in reaction.cancel:
            machine.receive(Outcome(rank=cancelled, cancelled=True))
        waiting = [one for one in waiting if one not in reaction.cancel]
    step = machine.step()
    assert isinstance(step, Finished)
    return machine.result(step.stop_reason)


SURE, FAIR, POOR = (
    text("sure", -1, -1, -1, -1),
    text("fair", -2, -2, -2, -2),
    text("poor", -1, -1, -5, -5, -1),
)


def test_the_first_samples_set_the_threshold_for_the_others() -> None:
    machine = BeamSearchMachine(vote(6))
    current = opened(machine)
    assert current.held == 3
    assert current.sampling.logprobs
    assert [one.confidence for one in current.expansions] == [None] * 6
    for rank, sample in enumerate([POOR, SURE]):
        assert not machine.receive(Outcome(rank=rank, continuations={0: sample})).begin
    begun = machine.receive(Outcome(rank=2, continuations={0: FAIR})).begin
    assert [one.rank for one in begun] == [3, 4, 5]
    assert {one.confidence for one in begun} == {FIRST.below(-2.0)}


def test_a_text_ends_where_its_confidence_falls_and_casts_no_vote() -> None:
    result = play(vote(6), [SURE, FAIR, SURE, POOR, SURE, POOR], 0)
    assert result.votes == (("sure" * 4, 1.0),)
    given_up = [beam for beam in result.beams if beam.finish_reason == LOW_CONFIDENCE]
    assert [beam.text for beam in given_up] == ["poor" * 3] * 2  # -1, -1, -5: the mean of two is -3
    assert not any(beam.confident or beam.finished for beam in given_up)
    # Below the median of the first samples, but not given up: its vote does not count either.
    [fair] = [beam for beam in result.beams if beam.text.startswith("fair")]
    assert (fair.confident, fair.finish_reason, fair.confidence) == (False, STOP, -2.0)
    assert [beam.confident for beam in result.beams] == [True] * 3 + [False] * 3
    assert result.usage.completion_tokens == 4 * 4 + 2 * 5  # what was generated is paid for


@given(st.lists(st.sampled_from([SURE, FAIR, POOR]), min_size=3, max_size=10), st.integers(0, 99))
def test_no_order_of_arrival_changes_the_result(samples: list[Continuation], order: int) -> None:
    one = play(vote(len(samples)), samples, order)
    other = play(vote(len(samples)), samples, 0)
    assert one.votes == other.votes
    assert [beam.text for beam in one.beams] == [beam.text for beam in other.beams]
    assert [beam.confident for beam in one.beams] == [beam.confident for beam in other.beams]


def test_beams_vote_by_their_confidence() -> None:
    def text_of(word: str, alternatives: float) -> Continuation:
        top = (Token("a", alternatives), Token("b", alternatives))
        return block_of([Token(word, -1, top=top)] * 2, STOP)

    config = vote(3, by="confidence", confidence=Confidence(warm_up=3, keep=1, window=2, top=2))
    result = play(config, [text_of("7", -2), text_of("8", -5), text_of("7", -2)], 0)
    assert dict(result.votes) == {"88": pytest.approx(5 / 9), "77": pytest.approx(4 / 9)}
    assert result.votes[0][0] == "88"


def test_a_certain_vote_may_be_by_confident_texts_only() -> None:
    config = vote(7, settle="certain", ahead=1)
    result = play(config, [SURE, POOR, SURE, POOR, SURE, SURE, POOR], 0)
    assert result.stop_reason == "settled"
    assert result.votes == (("sure" * 4, 1.0),)


def test_the_model_may_have_given_it_up_itself() -> None:
    config = vote(4, confidence=Confidence(warm_up=3, keep=0.5, window=2, top=0))
    short = text("poor", -1, -1, -5, reason=LOW_CONFIDENCE)
    result = play(config, [SURE, SURE, SURE, short], 0)
    assert [beam.finish_reason for beam in result.beams] == [STOP] * 3 + [LOW_CONFIDENCE]
    cut = text("cut", -1, -1, -1, -1, -1, -1, -1, -1, reason=LENGTH)
    assert play(config, [SURE, SURE, SURE, cut], 0).beams[3].confident


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens_per_step": 4}, "tokens_per_step must be at least max_tokens"),
        ({"n_per_beam": 2}, "n_per_beam must be 1 with confidence"),
        ({"answer": {"name": "vote", "settle": 0.9}}, "the first samples"),
    ],
)
def test_what_does_not_go_together(changes: dict[str, Any], message: str) -> None:
    values = {"n_per_beam": 1, "tokens_per_step": 8, "max_tokens": 8, "confidence": FIRST}
    build(BeamSearchConfig, values)
    with pytest.raises(ConfigError, match=message):
        build(BeamSearchConfig, values | changes)


@pytest.mark.parametrize("confidence", [None, Confidence(top=0)])
def test_a_vote_by_confidence_needs_it(confidence: Confidence | None) -> None:
    with pytest.raises(ConfigError, match="confidence must be a Confidence, with top from 1 up"):
        self_consistency(4, by="confidence", confidence=confidence)
