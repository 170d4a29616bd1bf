"""The best so far, asked for at any moment."""

from __future__ import annotations

import math

import attrs
import pytest

from tests.core.builders import answer, block, failed, in_round_two, opened, texts
from trio_beam.core.beam_search.machine import BeamSearchMachine
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.steps import Finished
from trio_beam.errors import ServerError

CONFIG = BeamSearchConfig(
    beam_width=2, n_per_beam=2, tokens_per_step=1, max_tokens=3, on_beam_failure="drop_beam"
)


@pytest.mark.parametrize("rounds_opened", [0, 1])
def test_before_the_first_answer_there_is_nothing(rounds_opened: int) -> None:
    state = BeamSearchMachine(CONFIG)
    for _ in range(rounds_opened):
        opened(state)
    result = state.result("deadline")
    assert (result.text, result.score, result.beams) == ("", -math.inf, ())
    assert (result.rounds, result.stop_reason) == (0, "deadline")


def test_between_two_rounds_it_has_the_beams_that_were_selected() -> None:
    state = in_round_two(CONFIG)
    result = state.result("deadline")
    assert texts(result) == ["a", "b"]
    assert result.rounds == 1


def test_in_the_middle_of_a_round_it_has_what_arrived_and_what_is_waited_for() -> None:
    state = in_round_two(CONFIG)
    state.receive(answer(1, block("x", logprob=0.0), block("y", logprob=-0.5)))
    result = state.result("deadline")
    # -2 / 2**0.6 for "bx" and -2.5 / 2**0.6 for "by", against -1 for "a", which still waits.
    assert texts(result) == ["a", "bx"]
    assert result.usage.completion_tokens == 4
    assert result.rounds == 1


def test_it_has_the_beams_that_ended_in_the_open_round() -> None:
    state = in_round_two(CONFIG)
    state.receive(answer(0, block("!", logprob=0.0, reason="stop")))
    best = state.result("deadline").beams[0]
    assert (best.text, best.finish_reason, best.finished) == ("a!", "stop", True)


def test_it_has_the_beams_that_ended_in_earlier_rounds() -> None:
    state = BeamSearchMachine(CONFIG)
    opened(state)
    state.receive(answer(0, block("a", reason="stop", logprob=-0.5), block("b")))
    opened(state)
    assert texts(state.result("deadline")) == ["a", "b"]


def test_it_has_a_beam_whose_expansion_failed() -> None:
    state = in_round_two(CONFIG)
    state.receive(failed(0, ServerError("broken", status=500)))
    result = state.result("deadline")
    assert texts(result) == ["a", "b"]
    assert len(result.failures) == 1


def test_it_counts_equal_candidates_once() -> None:
    state = in_round_two(CONFIG)
    state.receive(answer(0, block("x", logprob=0.0), block("x", logprob=0.0)))
    result = state.result("deadline")
    assert [(beam.text, beam.multiplicity) for beam in result.beams] == [("ax", 2), ("b", 1)]


def test_it_is_exact_only_if_all_its_beams_are() -> None:
    state = in_round_two(CONFIG)
    assert state.result("deadline").exact
    approximate = attrs.evolve(block("x", logprob=0.0), exact=False)
    state.receive(answer(0, approximate, block("y", logprob=-0.5)))
    assert not state.result("deadline").exact


def test_to_ask_changes_nothing() -> None:
    asked, left_alone = in_round_two(CONFIG), in_round_two(CONFIG)
    for state in (asked, left_alone):
        for rank in (1, 0):
            state.receive(answer(rank, block("x", reason="stop"), block("x", reason="stop")))
            if state is asked:
                state.result("deadline")
        assert isinstance(state.step(), Finished)
    first, second = asked.result("finished"), left_alone.result("finished")
    assert texts(first) == texts(second) == ["ax", "bx"]
    assert [beam.multiplicity for beam in first.beams] == [2, 2]
    assert first.usage == second.usage


def test_a_result_already_given_does_not_change() -> None:
    state = in_round_two(CONFIG)
    before = state.result("deadline")
    state.receive(failed(0, ServerError("broken", status=500)))
    state.receive(answer(1, block("x")))
    assert texts(before) == ["a", "b"]
    assert before.failures == ()
    assert before.usage.completion_tokens == 2
