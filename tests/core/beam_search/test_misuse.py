"""Whoever drives the state machine wrongly is told so at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs
import pytest

from tests.core.builders import answer, block, opened
from trio_beam.core.beam import Beam
from trio_beam.core.beam_search.machine import BeamSearchMachine
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.scorer import SCORERS
from trio_beam.core.steps import Failed, Finished
from trio_beam.errors import TrioBeamError

CONFIG = BeamSearchConfig(beam_width=2, n_per_beam=1, tokens_per_step=1, max_tokens=2)


def test_an_outcome_before_the_first_round() -> None:
    with pytest.raises(TrioBeamError):
        BeamSearchMachine(CONFIG).receive(answer(0, block("a")))


def test_an_outcome_twice() -> None:
    state = BeamSearchMachine(CONFIG)
    opened(state)
    state.receive(answer(0, block("a")))
    with pytest.raises(TrioBeamError):
        state.receive(answer(0, block("a")))
    assert state.result("deadline").usage.completion_tokens == 1


@pytest.mark.parametrize("rank", [1, 2, -1])
def test_an_outcome_of_a_beam_that_is_not_in_the_round(rank: int) -> None:
    state = BeamSearchMachine(CONFIG)
    opened(state)
    with pytest.raises(TrioBeamError):
        state.receive(answer(rank, block("a")))


def test_a_step_before_all_outcomes_are_in() -> None:
    state = BeamSearchMachine(CONFIG)
    opened(state)
    with pytest.raises(TrioBeamError):
        state.step()
    state.receive(answer(0, block("a"), block("b")))
    opened(state)
    state.receive(answer(1, block("c")))
    with pytest.raises(TrioBeamError):
        state.step()


def test_an_outcome_after_the_end() -> None:
    state = BeamSearchMachine(CONFIG)
    opened(state)
    state.receive(answer(0, block("a", reason="stop")))
    assert isinstance(state.step(), Finished)
    with pytest.raises(TrioBeamError):
        state.receive(answer(0, block("b")))


def test_a_step_after_the_end_says_the_same_again() -> None:
    state = BeamSearchMachine(CONFIG)
    opened(state)
    state.receive(answer(0, block("a", reason="stop")))
    first, second = state.step(), state.step()
    assert isinstance(first, Finished)
    assert isinstance(second, Finished)
    assert first.stop_reason == second.stop_reason == "finished"
    assert len(first.events) == 1
    assert second.events == ()  # told once


def test_a_step_after_the_end_finds_no_other_reason() -> None:
    # The server stops short once, so that the budget is used up and the beam is not yet full.
    config = BeamSearchConfig(
        beam_width=1, n_per_beam=1, tokens_per_step=2, max_tokens=4, max_completion_tokens=3
    )
    state = BeamSearchMachine(config)
    for texts in ("a", "bc"):
        opened(state)
        state.receive(answer(0, block(*texts)))
    first, second = state.step(), state.step()
    assert isinstance(first, Finished)
    assert isinstance(second, Finished)
    assert first.stop_reason == second.stop_reason == "max_tokens"


@pytest.mark.parametrize("scores", [[], [1.0, 2.0], [math.nan]])
def test_a_scorer_that_does_not_return_one_number_for_each(
    monkeypatch: pytest.MonkeyPatch, scores: list[float]
) -> None:
    def bad(beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
        return scores

    monkeypatch.setitem(SCORERS._entries(), "power", bad)
    state = BeamSearchMachine(attrs.evolve(CONFIG))  # which looks the name up anew
    opened(state)
    state.receive(answer(0, block("a")))
    step = state.step()
    assert isinstance(step, Failed)
    assert "power" in str(step.cause)
