"""``max_completion_tokens`` bounds what a search generates."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.core.builders import answer, block, opened, texts
from trio_beam.core.beam_search.machine import BeamSearchMachine
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.steps import Finished, Round

SMALL = st.integers(1, 3)


def run(config: BeamSearchConfig) -> tuple[BeamSearchMachine, Finished, list[Round]]:
    """A search whose server always gives what is asked for, different in each sample."""
    state, rounds = BeamSearchMachine(config), []
    while isinstance(step := state.step(), Round):
        rounds.append(step)
        for expansion in step.expansions:
            labels = [f"{step.number}{expansion.rank}{k} " for k in range(expansion.n)]
            blocks = [block(*[label] * expansion.max_tokens) for label in labels]
            state.receive(answer(expansion.rank, *blocks))
    assert isinstance(step, Finished)
    return state, step, rounds


@given(width=SMALL, n=SMALL, step=SMALL, max_tokens=st.integers(1, 8), spare=st.integers(0, 60))
def test_no_more_is_generated_than_the_budget(
    width: int, n: int, step: int, max_tokens: int, spare: int
) -> None:
    config = BeamSearchConfig(
        beam_width=width,
        n_per_beam=n,
        tokens_per_step=step,
        max_tokens=max_tokens,
        max_completion_tokens=width * n + spare,
    )
    state, over, rounds = run(config)
    used = state.meter.completion_tokens
    assert used <= width * n + spare
    asked = [expansion.max_tokens for one in rounds for expansion in one.expansions]
    assert min(asked) >= 1
    longest = max(beam.length for beam in state.result("budget").beams)
    # The reason is the true one: either the beams are full, or not a token each was left.
    assert over.stop_reason == ("max_tokens" if longest == max_tokens else "budget")


def test_the_block_is_shortened_to_what_is_left_for_each() -> None:
    config = BeamSearchConfig(
        beam_width=2, n_per_beam=2, tokens_per_step=4, max_tokens=100, max_completion_tokens=30
    )
    state, over, rounds = run(config)
    assert [[one.max_tokens for one in step.expansions] for step in rounds] == [[4], [3, 3]]
    assert over.stop_reason == "budget"
    assert state.meter.completion_tokens == 28


def test_the_last_round_is_not_called_full_when_the_budget_shortened_it() -> None:
    config = BeamSearchConfig(
        beam_width=1, n_per_beam=1, tokens_per_step=4, max_tokens=8, max_completion_tokens=6
    )
    state, over, _ = run(config)
    assert len(state.result(over.stop_reason).beams[0].tokens) == 6
    assert over.stop_reason == "budget"


def test_a_block_that_was_shortened_earlier_is_not_forgotten() -> None:
    config = BeamSearchConfig(
        beam_width=2, n_per_beam=1, tokens_per_step=2, max_tokens=6, max_completion_tokens=7
    )
    state = BeamSearchMachine(config)
    asked = []
    for answers in (
        [answer(0, block("a", "b"), block("c", "d"))],
        [answer(0, block("e")), answer(1, block(reason="stop"))],
        [answer(0, block("f", "g"))],
    ):
        asked.append([one.max_tokens for one in opened(state).expansions])
        for one in answers:
            state.receive(one)
    step = state.step()
    assert isinstance(step, Finished)
    assert asked == [[2], [1, 1], [2]]
    assert step.stop_reason == "budget"


def test_a_search_that_finishes_within_it_is_finished() -> None:
    config = BeamSearchConfig(
        beam_width=1, n_per_beam=1, tokens_per_step=4, max_tokens=8, max_completion_tokens=2
    )
    state = BeamSearchMachine(config)
    opened(state)
    state.receive(answer(0, block("a", "b", reason="stop")))
    step = state.step()
    assert isinstance(step, Finished)
    assert step.stop_reason == "finished"
    assert texts(state.result(step.stop_reason)) == ["ab"]
