"""What observers are told of each round."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

from tests.core.builders import answer, block, failed, opened
from trio_beam.core.beam import Beam
from trio_beam.core.beam_search.machine import BeamSearchMachine
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.events import BeamExpanded, BeamFailed, Event, RoundFinished, RoundStarted
from trio_beam.core.steps import Finished, Outcome
from trio_beam.errors import ServerError

CONFIG = BeamSearchConfig(
    alpha=1.0,
    beam_width=2,
    n_per_beam=2,
    tokens_per_step=1,
    max_tokens=2,
    use_length_penalty=False,
    on_beam_failure="drop_beam",
)


def test_a_round_is_told_from_its_start_to_its_end() -> None:
    state = BeamSearchMachine(CONFIG)
    assert opened(state).events == (RoundStarted(round=1, rounds=2, beams=1, samples=4),)
    blocks = [block("a"), block("b", logprob=-3.0), block("c", reason="stop"), block("a")]
    generous = attrs.evolve(blocks[2], generated=2)  # an end of text that is not among the tokens
    told = state.receive(answer(0, blocks[0], blocks[1], generous, blocks[3])).events
    (expanded,) = told
    assert expanded == BeamExpanded(round=1, rank=0, candidates=4, tokens=5)
    assert isinstance(expanded, BeamExpanded)
    assert [child.text for child in expanded.children] == ["a", "b", "c", "a"]
    finished, started = opened(state).events
    assert finished == RoundFinished(
        round=1, rounds=2, candidates=4, active=2, ended=1, best_score=-1.0, completion_tokens=5
    )
    assert started == RoundStarted(round=2, rounds=2, beams=2, samples=4)
    assert isinstance(finished, RoundFinished)
    assert [(one.text, one.score) for one in finished.scored] == [
        ("a", -1.0),
        ("c", -1.0),
        ("b", -3.0),
    ]


def test_the_last_round_is_told_with_the_end() -> None:
    state = BeamSearchMachine(CONFIG)
    opened(state)
    state.receive(answer(0, block(reason="stop")))
    step = state.step()
    assert isinstance(step, Finished)
    (finished,) = step.events
    assert isinstance(finished, RoundFinished)
    assert (finished.active, finished.ended, finished.best_score) == (0, 1, -math.inf)


def test_a_failure_is_told_beside_what_came() -> None:
    state = BeamSearchMachine(CONFIG)
    opened(state)
    error = ServerError("broken", status=500, attempts=2)
    outcome = Outcome(rank=0, continuations={1: block("a")}, errors=(error,))
    expanded, told = state.receive(outcome).events
    assert expanded == BeamExpanded(round=1, rank=0, candidates=1, tokens=1)
    assert isinstance(told, BeamFailed)
    assert told.failure is state.failures[0]
    assert (told.rank, told.failure.attempts, told.failure.round) == (0, 2, 1)


def test_a_beam_that_brought_nothing_is_not_told_as_expanded() -> None:
    state = BeamSearchMachine(CONFIG)
    opened(state)
    told = state.receive(failed(0, ServerError("broken", status=500))).events
    assert [type(event) for event in told] == [BeamFailed]


def test_a_round_tells_the_best_beam_so_far() -> None:
    state = BeamSearchMachine(CONFIG)
    opened(state)
    first = [block("a", logprob=-2.0), block("end", logprob=-3.0, reason="stop")]
    state.receive(answer(0, *first))
    best_first = best_of(opened(state).events)
    assert (best_first.text, best_first.score) == ("a", -2.0)
    state.receive(answer(0, block("b", logprob=-4.0)))
    step = state.step()
    assert isinstance(step, Finished)
    best_last = best_of(step.events)
    assert (best_last.text, best_last.finished) == ("end", True)  # better than "ab"
    assert best_last.text == state.result(step.stop_reason).text


def best_of(events: Sequence[Event]) -> Beam:
    (found,) = [event for event in events if isinstance(event, RoundFinished)]
    return found.best
