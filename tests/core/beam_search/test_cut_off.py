"""What a cut-off does to a result with weights: it is that of the last round that was whole."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.builders import answer as answered
from tests.core.builders import block, failed, opened
from tests.core.language import END, answer, logprobs, tokens_of
from trio_beam.core.beam_search.machine import BeamSearchMachine
from trio_beam.core.config import BeamSearchConfig, Lookahead
from trio_beam.core.result import SearchResult
from trio_beam.core.steps import Failed, Finished, Outcome, Round
from trio_beam.errors import ServerError
from trio_beam.selection import Resample

CONFIG = BeamSearchConfig(
    selection=Resample(1.0),
    alpha=2.0,
    beam_width=4,
    n_per_beam=1,
    tokens_per_step=1,
    max_tokens=4,
    on_beam_failure="drop_beam",
)


def in_round(number: int, config: BeamSearchConfig, seed: int) -> tuple[BeamSearchMachine, Round]:
    """A search in this round, before any outcome of it; None where it has ended before."""
    source = random.Random(seed)
    machine = BeamSearchMachine(config, seed)
    while True:
        step = machine.step()
        assert isinstance(step, Round)
        if step.number == number:
            return machine, step
        for expansion in step.expansions:
            machine.receive(answer(expansion, config, source))


def view(result: SearchResult) -> Any:
    beams = [(tokens_of(beam), beam.weight, beam.multiplicity) for beam in result.beams]
    return beams, result.log_evidence, result.rounds, result.exact


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 3), st.integers(0, 50), st.data())
def test_it_does_not_matter_who_has_come_back(number: int, seed: int, data: st.DataObject) -> None:
    """Not even what: neither its weight nor its log-probabilities."""
    machine, step = in_round(number, CONFIG, seed)
    before = view(machine.result("deadline"))
    for expansion in step.expansions:
        match data.draw(st.sampled_from(["back", "failed", "inexact", "exhausted", "waiting"])):
            case "back":
                machine.receive(answered(expansion.rank, block("x", logprob=-0.01)))
            case "failed":
                machine.receive(failed(expansion.rank, ServerError("broken", status=500)))
            case "inexact":
                inexact = attrs.evolve(block("x"), exact=False)
                machine.receive(answered(expansion.rank, inexact))
            case "exhausted":
                machine.receive(Outcome(rank=expansion.rank, exhausted=True))
        assert view(machine.result("deadline")) == before


def test_a_budget_that_ends_in_a_round_leaves_that_round_out() -> None:
    machine, step = in_round(2, CONFIG, seed=1)
    before = view(machine.result("budget"))
    for expansion in step.expansions[1:]:
        machine.receive(answered(expansion.rank, block("x")))
    machine.receive(Outcome(rank=0, exhausted=True))
    assert isinstance(machine.step(), Finished)
    assert view(machine.result("budget")) == before


def test_a_failure_that_ends_the_search_leaves_the_round_out() -> None:
    machine, step = in_round(2, attrs.evolve(CONFIG, on_beam_failure="cancel_siblings"), seed=1)
    before = {tokens_of(beam) for beam in machine.result("deadline").beams}
    for expansion in step.expansions[1:]:
        machine.receive(answered(expansion.rank, block("x")))
    machine.receive(failed(0, ServerError("broken", status=500)))
    assert isinstance(machine.step(), Failed)
    assert {tokens_of(beam) for beam in machine.result("failed").beams} == before


def test_a_round_that_is_whole_counts_though_its_rollouts_are_missing() -> None:
    config = attrs.evolve(CONFIG, selection=Resample(1.0, Lookahead(1, 1)))
    machine = BeamSearchMachine(config)
    opened(machine)
    blocks = [block(text, logprob=-value) for text, value in zip("abcd", (1, 2, 3, 4), strict=True)]
    machine.receive(answered(0, *blocks))
    assert opened(machine).purpose == "rollout"
    result = machine.result("deadline")
    assert sorted(beam.text for beam in result.beams) == ["a", "b", "c", "d"]
    assert result.log_evidence == pytest.approx(
        math.log(sum(math.exp(-value) for value in (1, 2, 3, 4)) / 4)
    )


def test_of_the_first_round_what_has_come_back_counts() -> None:
    machine = BeamSearchMachine(CONFIG)
    opened(machine)
    assert machine.result("deadline").beams == ()
    machine.receive(Outcome(rank=0, continuations={1: block("b")}, exhausted=True))
    assert [beam.text for beam in machine.result("budget").beams] == ["b"]


def test_without_weights_what_has_come_back_counts_as_ever() -> None:
    config = attrs.evolve(CONFIG, selection="top_k")
    machine, step = in_round(2, config, seed=1)
    machine.receive(answered(step.expansions[0].rank, block("x", logprob=0.0)))
    assert any(beam.text.endswith("x") for beam in machine.result("deadline").beams)


def beginnings(length: int, alpha: float) -> dict[tuple[int, ...], float]:
    """p^alpha of every text that has ended with at most so many tokens, or has just as many."""
    found: dict[tuple[int, ...], float] = {(): 0.0}
    for _ in range(length):
        longer: dict[tuple[int, ...], float] = {}
        for tokens, value in found.items():
            if tokens[-1:] == (END,):
                longer[tokens] = value
                continue
            for token, logprob in enumerate(logprobs(tokens[-1] if tokens else None)):
                longer[*tokens, token] = value + logprob
        found = longer
    return {tokens: math.exp(alpha * value) for tokens, value in found.items()}


@pytest.mark.parametrize("alpha", [1.0, 2.0])
def test_a_search_that_is_cut_off_draws_from_p_alpha_of_the_rounds_behind_it(alpha: float) -> None:
    """800 answers, of two blocks where three were begun: chi-square of ten degrees and more.

    What comes back first here are the ends, which is the worst that a server can do. Chi-square over its
    degrees exceeds 2.6 once in 250; two cases, fixed seeds.
    """
    runs = 800
    config = attrs.evolve(CONFIG, alpha=alpha, beam_width=12, selection=Resample(0.5))
    exact = beginnings(2, alpha)
    total = sum(exact.values())
    counts: Counter[tuple[int, ...]] = Counter()
    for seed in range(runs):
        machine, step = in_round(3, config, seed)
        source = random.Random(-seed - 1)
        for expansion in step.expansions:
            outcome = answer(expansion, config, source)
            if outcome.blocks[0].finish_reason == "stop":
                machine.receive(outcome)
        counts[tokens_of(machine.result("deadline").beams[0])] += 1
    cells = {tokens: value / total * runs for tokens, value in exact.items()}
    common = {tokens for tokens, value in cells.items() if value >= 10}
    rare = runs - sum(cells[tokens] for tokens in common)
    square = sum((counts[tokens] - cells[tokens]) ** 2 / cells[tokens] for tokens in common)
    degrees = len(common) - 1
    if rare >= 5:
        seen = runs - sum(counts[tokens] for tokens in common)
        square += (seen - rare) ** 2 / rare
        degrees += 1
    assert square / degrees < 2.6


@pytest.mark.parametrize("selection", ["resample", "top_k", "subtrees"])
def test_exact_covers_what_was_dropped(selection: str) -> None:
    """An approximate log-probability decides who stays, also where its own beam does not."""
    config = BeamSearchConfig(
        selection=selection, beam_width=2, n_per_beam=2, tokens_per_step=1, max_tokens=2
    )
    machine = BeamSearchMachine(config)
    step = opened(machine)
    blocks = [
        block(text, logprob=-value) for text, value in zip("abcd", (1, 2, 3, 90), strict=True)
    ]
    blocks[3] = attrs.evolve(blocks[3], exact=False)
    machine.receive(answered(step.expansions[0].rank, *blocks))
    for expansion in opened(machine).expansions:
        machine.receive(answered(expansion.rank, block("x"), block("y")))
    assert isinstance(machine.step(), Finished)
    result = machine.result("max_tokens")
    assert all(beam.exact for beam in result.beams)
    assert not result.exact


def test_exact_covers_rollouts() -> None:
    config = attrs.evolve(CONFIG, selection=Resample(1.0, Lookahead(1, 1)), max_tokens=2)
    machine = BeamSearchMachine(config)
    blocks = [block(text, logprob=-value) for text, value in zip("abcd", (1, 2, 3, 4), strict=True)]
    machine.receive(answered(opened(machine).expansions[0].rank, *blocks))
    rollouts = opened(machine)
    assert rollouts.purpose == "rollout"
    for expansion in rollouts.expansions:
        rolled = attrs.evolve(block("r"), exact=expansion.rank != 2)
        machine.receive(answered(expansion.rank, rolled))
    for expansion in opened(machine).expansions:
        machine.receive(answered(expansion.rank, block("x")))
    assert isinstance(machine.step(), Finished)
    assert not machine.result("max_tokens").exact
