"""The phases of a search: only the transitions of the table, and all of them, happen."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.core.builders import answer, block, failed, opened
from trio_beam import BeamSearchConfig, Judge, Lookahead, ScoredRound, Select, ServerError, TopK
from trio_beam.core.beam import Beam
from trio_beam.core.beam_search.machine import BeamSearchMachine
from trio_beam.core.beam_search.phases import TRANSITIONS, Phase
from trio_beam.core.block import Continuation, Token
from trio_beam.core.result import BeamFailure
from trio_beam.core.steps import Failed, Finished, Outcome, Round, ScoreCandidates

SMALL = BeamSearchConfig(beam_width=2, n_per_beam=1, tokens_per_step=1, max_tokens=2)
BROKEN = ServerError("broken", status=500)
seen: set[tuple[Phase, Phase]] = set()


class Watched(BeamSearchMachine):
    """A machine that notes its transitions."""

    def _enter(self, phase: Phase) -> None:
        seen.add((self.phase, phase))
        super()._enter(phase)


async def later(beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
    return [0.0 for _ in beams]


def run(machine: BeamSearchMachine, *answers: Outcome | list[float] | None) -> Phase:
    """Step, and give what is wanted: blocks of their own by default, or what is given instead."""
    given = list(answers)
    while True:
        step = machine.step()
        if isinstance(step, Finished | Failed):
            return machine.phase
        special = given.pop(0) if given else None
        if isinstance(step, ScoreCandidates):
            machine.take_scores(step.beams, [0.0] * len(step.beams) if special is None else special)
            continue
        for expansion in step.expansions:
            if special is not None:
                machine.receive(special)  # type: ignore[arg-type]  # an outcome
                special = None
            else:
                machine.receive(answer(expansion.rank, *blocks(step, expansion.n)))


def blocks(step: Round, n: int) -> list[Continuation]:
    yes = Token("yes", -0.5, top=(Token("yes", -0.5), Token("no", -1.0)))
    made = [block(f"{step.number}{k} ") for k in range(n)]
    if step.purpose == "judge":
        return [Continuation(tokens=(yes,), data=b"1")]
    return made


JUDGED = BeamSearchConfig(
    beam_width=1, n_per_beam=1, tokens_per_step=1, max_tokens=2, scorer=Judge()
)
AWAITED = BeamSearchConfig(
    beam_width=1, n_per_beam=1, tokens_per_step=1, max_tokens=2, scorer=later
)


CHOSEN = BeamSearchConfig(
    beam_width=2, n_per_beam=1, tokens_per_step=1, max_tokens=1, answer=Select()
)


class Looking(TopK):
    """It has futures estimated, as a selection of somebody's own may."""

    lookahead = Lookahead(1, 1)

    def lookahead_candidates(self, scored: ScoredRound, config: BeamSearchConfig) -> Sequence[Beam]:
        more = [beam for beam in scored.candidates if beam.length < config.max_tokens]
        return () if scored.futures else more


LOOKING = Looking()
BOTH = BeamSearchConfig(
    beam_width=2, n_per_beam=2, tokens_per_step=1, max_tokens=3, scorer=Judge(), selection=LOOKING
)
AWAITED_BOTH = BeamSearchConfig(
    beam_width=2, n_per_beam=2, tokens_per_step=1, max_tokens=3, scorer=later, selection=LOOKING
)


def test_every_transition_of_the_table_happens_and_no_other() -> None:
    assert run(Watched(SMALL)) is Phase.FINISHED
    assert run(Watched(SMALL), failed(0, BROKEN)) is Phase.FAILED
    assert run(Watched(JUDGED)) is Phase.FINISHED
    assert run(Watched(JUDGED), None, failed(0, BROKEN)) is Phase.FAILED
    exhausted = Outcome(rank=0, continuations={}, exhausted=True)
    assert run(Watched(SMALL), exhausted) is Phase.FINISHED
    assert run(Watched(JUDGED), None, exhausted) is Phase.FINISHED
    assert run(Watched(AWAITED)) is Phase.FINISHED
    assert run(Watched(AWAITED), None, []) is Phase.FAILED
    assert run(Watched(BOTH)) is Phase.FINISHED
    assert run(Watched(AWAITED_BOTH)) is Phase.FINISHED
    poor = BeamSearchConfig(
        beam_width=2,
        n_per_beam=2,
        tokens_per_step=1,
        max_tokens=3,
        scorer=later,
        selection=LOOKING,
        max_completion_tokens=4,
    )
    assert run(Watched(poor)) is Phase.FINISHED  # no budget for the rollouts
    assert run(Watched(CHOSEN)) is Phase.FINISHED
    assert run(Watched(CHOSEN), None, failed(0, BROKEN)) is Phase.FAILED
    hopeless = Watched(SMALL)
    hopeless.fail(BeamFailure(beam=Beam(), error=BROKEN, attempts=1, round=0))
    assert seen == {(one, other) for one, others in TRANSITIONS.items() for other in others}


def test_a_transition_that_is_not_in_the_table_is_a_bug() -> None:
    machine = BeamSearchMachine(SMALL)
    opened(machine)
    with pytest.raises(AssertionError, match="cannot become"):
        machine._enter(Phase.EXPANDING)
