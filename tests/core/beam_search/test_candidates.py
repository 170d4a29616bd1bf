"""An outcome may hold candidates that were made elsewhere; they are taken as they are."""

from __future__ import annotations

from trio_beam import Beam, BeamSearchConfig, Continuation, Token
from trio_beam.core.beam_search.machine import BeamSearchMachine
from trio_beam.core.steps import Finished, Outcome, Round

CONFIG = BeamSearchConfig(beam_width=2, tokens_per_step=2, max_tokens=4, use_length_penalty=False)


def beam(text: str, logprob: float, *, ended: bool = False) -> Beam:
    reason = "stop" if ended else "length"
    block = Continuation(
        tokens=(Token(text, logprob),), data=text.encode(), finish_reason=reason, exact=False
    )
    return Beam().extend(block)


def opened(machine: BeamSearchMachine) -> Round:
    step = machine.step()
    assert isinstance(step, Round)
    return step


def test_they_compete_with_continuations_and_need_not_continue_the_beam() -> None:
    machine = BeamSearchMachine(CONFIG)
    opened(machine)
    first = [beam("a", -1.0), beam("b", -2.0), beam("c", -3.0)]
    machine.receive(Outcome(rank=0, candidates=tuple(first)))
    second = opened(machine)
    assert [expansion.beam.text for expansion in second.expansions] == ["a", "b"]
    token = Token("!", -0.5)
    machine.receive(Outcome(rank=0, continuations={0: Continuation(tokens=(token,), data=b"!")}))
    machine.receive(Outcome(rank=1, candidates=(beam("new", -0.1),)))
    assert isinstance(machine.step(), Finished)
    result = machine.result("max_tokens")
    assert [found.text for found in result.beams] == ["new", "a!"]
    # What candidates cost is counted where they were made.
    assert result.usage.completion_tokens == 1


def test_equal_scores_keep_their_order_and_equal_tokens_count_once() -> None:
    machine = BeamSearchMachine(CONFIG)
    opened(machine)
    given = [beam("a", -1.0), beam("b", -1.0), beam("a", -1.0), beam("end", -9.0, ended=True)]
    machine.receive(Outcome(rank=0, candidates=tuple(given)))
    second = opened(machine)
    assert [expansion.beam.text for expansion in second.expansions] == ["a", "b"]
    assert second.expansions[0].beam.multiplicity == 2
