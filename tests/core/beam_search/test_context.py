"""A full context ends a beam that has grown, and fails a search that has not begun."""

from __future__ import annotations

import attrs
import pytest

from tests.core.builders import answer, block, failed, in_round_two, opened
from trio_beam.core.beam_search.machine import BeamSearchMachine
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.steps import Failed, Finished, Outcome
from trio_beam.errors import ContextOverflow

CANCEL = BeamSearchConfig(beam_width=2, n_per_beam=1, tokens_per_step=1, max_tokens=3)
DROP = attrs.evolve(CANCEL, on_beam_failure="drop_beam")
FULL = ContextOverflow("too long", status=400)


@pytest.mark.parametrize("config", [CANCEL, DROP])
def test_a_grown_beam_that_fills_the_context_ends_instead_of_failing(
    config: BeamSearchConfig,
) -> None:
    state = in_round_two(config)
    reaction = state.receive(failed(0, FULL))
    assert (reaction.events, reaction.cancel) == ((), frozenset())
    state.receive(answer(1, block("x", logprob=0.0)))
    assert [one.beam.text for one in opened(state).expansions] == ["bx"]
    best = state.result("deadline").beams[0]
    assert (best.text, best.finish_reason, best.ended, best.finished) == (
        "a",
        "context",
        True,
        False,
    )
    assert not state.failures


def test_a_full_context_adds_nothing_to_a_beam_that_got_some_samples() -> None:
    state = in_round_two(DROP)
    state.receive(Outcome(rank=0, continuations={0: block("x")}, errors=(FULL,)))
    state.receive(answer(1, block("y")))
    assert [one.beam.text for one in opened(state).expansions] == ["ax", "by"]
    assert not state.failures


def test_when_all_beams_fill_the_context_the_search_is_over() -> None:
    state = in_round_two(CANCEL)
    for rank in range(2):
        state.receive(failed(rank, FULL))
    step = state.step()
    assert isinstance(step, Finished)
    result = state.result(step.stop_reason)
    assert [(beam.text, beam.finish_reason) for beam in result.beams] == [
        ("a", "context"),
        ("b", "context"),
    ]


@pytest.mark.parametrize("config", [CANCEL, DROP])
def test_a_prompt_that_fills_the_context_is_a_failure(config: BeamSearchConfig) -> None:
    state = BeamSearchMachine(config)
    opened(state)
    state.receive(failed(0, FULL))
    step = state.step()
    assert isinstance(step, Failed)
    assert [failure.error for failure in step.failures] == [FULL]
