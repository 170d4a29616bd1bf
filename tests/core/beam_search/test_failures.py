"""What a beam that fails means for the search, and that the best so far is never lost."""

from __future__ import annotations

import math

import attrs
import pytest

from tests.core.builders import answer, block, failed, failure_pairs, in_round_two, opened, texts
from trio_beam.core.beam import Beam
from trio_beam.core.beam_search.machine import BeamSearchMachine
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.events import BeamExpanded, BeamFailed
from trio_beam.core.result import BeamFailure
from trio_beam.core.steps import Failed, Finished, Outcome
from trio_beam.errors import ConnectionFailed, ServerError

pytestmark = pytest.mark.promise(1)

CANCEL = BeamSearchConfig(beam_width=2, n_per_beam=1, tokens_per_step=1, max_tokens=3)
DROP = attrs.evolve(CANCEL, on_beam_failure="drop_beam")
BOTH_NEEDED = attrs.evolve(DROP, min_beams=2)
BROKEN = ServerError("out of memory", status=500, attempts=3)


# -- cancel_siblings


def test_a_failure_asks_for_the_siblings_to_be_cancelled() -> None:
    state = in_round_two(CANCEL)
    reaction = state.receive(failed(1, BROKEN))
    (event,) = reaction.events
    assert isinstance(event, BeamFailed)
    assert event.rank == 1
    assert reaction.cancel == {0}


def test_a_failure_ends_the_search_once_all_outcomes_are_in() -> None:
    state = in_round_two(CANCEL)
    state.receive(failed(1, BROKEN))
    state.receive(Outcome(rank=0, continuations={}, cancelled=True))
    step = state.step()
    assert isinstance(step, Failed)
    (failure,) = step.failures
    assert (failure.beam.text, failure.error, failure.attempts, failure.round) == (
        "b",
        BROKEN,
        3,
        2,
    )


def test_nothing_went_wrong_with_a_cancelled_sibling() -> None:
    state = in_round_two(CANCEL)
    state.receive(failed(1, BROKEN))
    assert state.receive(Outcome(rank=0, continuations={}, cancelled=True)).events == ()
    assert failure_pairs(state.failures) == [("b", BROKEN)]


def test_the_partial_result_has_what_siblings_brought_and_what_stood_before() -> None:
    state = in_round_two(CANCEL)
    state.receive(answer(0, block("x", logprob=-9.0)))
    state.receive(failed(1, BROKEN))
    assert isinstance(state.step(), Failed)
    partial = state.result("failed")
    assert texts(partial) == ["b", "ax"]
    assert partial.rounds == 1
    assert partial.usage.completion_tokens == 3
    assert failure_pairs(partial.failures) == [("b", BROKEN)]


def test_what_a_failed_beam_brought_before_it_failed_counts() -> None:
    state = in_round_two(CANCEL)
    outcome = Outcome(rank=0, continuations={0: block("x")}, errors=(BROKEN,))
    assert [type(event) for event in state.receive(outcome).events] == [BeamExpanded, BeamFailed]
    assert "ax" in texts(state.result("failed"))


def test_a_failure_of_the_first_round_leaves_an_empty_partial_result() -> None:
    state = BeamSearchMachine(CANCEL)
    opened(state)
    state.receive(failed(0, BROKEN))
    assert isinstance(state.step(), Failed)
    partial = state.result("failed")
    assert (partial.beams, partial.text, partial.score) == ((), "", -math.inf)


def test_a_cancellation_from_outside_leaves_no_next_round_and_no_failure() -> None:
    state = in_round_two(DROP)
    state.receive(answer(0, block("x")))
    state.receive(Outcome(rank=1, continuations={0: block("y")}, cancelled=True))
    step = state.step()
    assert isinstance(step, Failed)
    assert step.failures == ()
    assert sorted(texts(state.result("interrupted"))) == ["ax", "by"]


def test_a_failure_before_the_first_round_ends_the_search() -> None:
    state = BeamSearchMachine(DROP)
    failure = BeamFailure(beam=Beam(), error=ConnectionFailed("refused"), attempts=4, round=0)
    state.fail(failure)
    step = state.step()
    assert isinstance(step, Failed)
    assert step.failures == (failure,)
    assert state.result("failed").beams == ()


# -- drop_beam


def test_a_dropped_beam_leaves_the_others_to_go_on() -> None:
    state = in_round_two(DROP)
    assert not state.receive(failed(0, BROKEN)).cancel
    state.receive(answer(1, block("x")))
    third = opened(state)
    assert [(one.rank, one.beam.text) for one in third.expansions] == [(0, "bx")]
    state.receive(answer(0, block("y")))
    assert isinstance(state.step(), Finished)
    result = state.result("max_tokens")
    assert texts(result) == ["bxy"]
    assert failure_pairs(result.failures) == [("a", BROKEN)]


def test_a_beam_that_failed_after_some_samples_survives_by_them() -> None:
    state = in_round_two(BOTH_NEEDED)
    state.receive(Outcome(rank=0, continuations={0: block("x")}, errors=(BROKEN,)))
    state.receive(answer(1, block("y")))
    assert len(opened(state).expansions) == 2
    assert failure_pairs(state.failures) == [("a", BROKEN)]


def test_fewer_survivors_than_min_beams_end_the_search() -> None:
    state = in_round_two(BOTH_NEEDED)
    state.receive(failed(0, BROKEN))
    state.receive(answer(1, block("x")))
    step = state.step()
    assert isinstance(step, Failed)
    assert failure_pairs(step.failures) == [("a", BROKEN)]


def test_ended_beams_count_as_survivors() -> None:
    state = BeamSearchMachine(BOTH_NEEDED)
    opened(state)
    state.receive(answer(0, block("a", reason="stop"), block("b")))
    opened(state)
    state.receive(failed(0, BROKEN))
    # One of two is left, where two must be.
    assert isinstance(state.step(), Failed)

    state = BeamSearchMachine(DROP)
    opened(state)
    state.receive(answer(0, block("a", reason="stop"), block("b")))
    opened(state)
    state.receive(failed(0, BROKEN))
    assert isinstance(state.step(), Finished)
    assert texts(state.result("finished")) == ["a"]


def test_min_beams_asks_for_no_more_survivors_than_there_were_beams() -> None:
    state = BeamSearchMachine(BOTH_NEEDED)
    opened(state)
    state.receive(answer(0, block("a"), block("a")))  # the same twice: one beam
    assert len(opened(state).expansions) == 1
    state.receive(answer(0, block("x")))
    assert len(opened(state).expansions) == 1


def test_no_survivor_at_all_ends_the_search() -> None:
    state = in_round_two(DROP)
    state.receive(failed(0, BROKEN))
    state.receive(failed(1, BROKEN))
    assert isinstance(state.step(), Failed)


@pytest.mark.parametrize("ranks", [(0, 1), (1, 0)])
def test_the_partial_result_has_the_beams_that_could_not_be_expanded(
    ranks: tuple[int, int],
) -> None:
    state = in_round_two(DROP)
    for rank in ranks:
        state.receive(failed(rank, BROKEN))
    assert isinstance(state.step(), Failed)
    assert texts(state.result("failed")) == ["a", "b"]


def test_the_partial_result_has_both_the_survivor_and_the_beam_that_was_missed() -> None:
    state = in_round_two(BOTH_NEEDED)
    state.receive(answer(0, block("x", logprob=-9.0)))
    state.receive(failed(1, BROKEN))
    assert isinstance(state.step(), Failed)
    assert texts(state.result("failed")) == ["b", "ax"]


def test_a_round_that_failed_is_not_counted_as_completed() -> None:
    state = in_round_two(DROP)
    state.receive(failed(0, BROKEN))
    state.receive(failed(1, BROKEN))
    assert isinstance(state.step(), Failed)
    assert state.result("failed").rounds == 1


@pytest.mark.parametrize("ranks", [(0, 1), (1, 0)])
def test_failures_are_listed_in_an_order_of_their_own(ranks: tuple[int, int]) -> None:
    # The result must not show who answered first: the failures are a part of it.
    state = in_round_two(DROP)
    for rank in ranks:
        state.receive(failed(rank, BROKEN))
    assert failure_pairs(state.result("deadline").failures) == [("a", BROKEN), ("b", BROKEN)]
