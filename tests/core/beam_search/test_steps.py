"""Beams are compared at the ends of their steps, and what is thrown away is counted and told."""

from __future__ import annotations

import math
import statistics
from collections import Counter

import attrs
import pytest

from tests.core.builders import answer, block, opened, texts
from tests.core.language import LENGTH_OF_TEXT, powers, search, tokens_of
from trio_beam import McmcConfig, mcmc
from trio_beam.core.beam_search.machine import BeamSearchMachine
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.delimiters import Steps
from trio_beam.core.events import BeamExpanded
from trio_beam.core.steps import Finished, Round
from trio_beam.selection import Resample
from trio_beam.testing import ScriptedModel

CONFIG = BeamSearchConfig(
    beam_width=2,
    n_per_beam=1,
    tokens_per_step=4,
    max_tokens=6,
    block=Steps("\n"),
    scorer="mean_logprob",
)


def test_blocks_end_with_their_steps_and_the_rest_is_counted_and_told() -> None:
    state = BeamSearchMachine(CONFIG)
    opened(state)
    blocks = [block("a", "\n", "b", "c"), block("d", "e", "\n", "f", logprob=-2.0)]
    (told,) = state.receive(answer(0, *blocks)).events
    assert isinstance(told, BeamExpanded)
    assert (told.tokens, told.discarded) == (8, 3)
    assert [child.text for child in told.children] == ["a\n", "de\n"]
    assert [one.beam.text for one in opened(state).expansions] == ["a\n", "de\n"]
    usage = state.result("deadline").usage
    assert (usage.completion_tokens, usage.discarded_tokens) == (8, 3)


def test_short_steps_take_more_rounds_up_to_max_tokens() -> None:
    state = BeamSearchMachine(attrs.evolve(CONFIG, beam_width=1))
    assert CONFIG.rounds == 6
    wanted = []
    while not isinstance(step := state.step(), Finished):
        assert isinstance(step, Round)
        (expansion,) = step.expansions
        wanted.append(expansion.max_tokens)
        state.receive(answer(0, block(*["a", "\n", "b", "c"][: expansion.max_tokens])))
    assert step.stop_reason == "max_tokens"
    assert texts(state.result("max_tokens")) == ["a\na\na\n"]
    assert wanted == [4, 4, 2]


def test_a_stop_string_ends_a_beam_before_or_with_the_delimiter() -> None:
    state = BeamSearchMachine(attrs.evolve(CONFIG, stop=("END", "c\n")))
    opened(state)
    state.receive(answer(0, block("a", "END", "\n", "b"), block("b", "c", "\n", "d")))
    assert texts(state.result("deadline")) == ["a", "b"]
    assert state.result("deadline").usage.discarded_tokens == 3


def test_the_server_is_told_the_delimiters_only_where_it_cannot_stop_too_early() -> None:
    for block_rule, told in (
        (Steps(["\n", "."]), ("\n", ".")),
        (Steps("\n", min_tokens=2), ()),
        (None, ()),
    ):
        state = BeamSearchMachine(attrs.evolve(CONFIG, block=block_rule))
        assert opened(state).sampling.delimiters == told
    enumerated = attrs.evolve(CONFIG, proposal="enumerate", tokens_per_step=1)
    assert opened(BeamSearchMachine(enumerated)).sampling.delimiters == ()


async def test_tokens_behind_a_stop_string_count_in_a_chain_too() -> None:
    model = ScriptedModel(["one two END three"])
    config = McmcConfig(tokens_per_step=4, max_tokens=4, steps=0, stop=("END",))
    result = await mcmc(model, "count", config)
    assert (result.text, result.usage.discarded_tokens) == ("one two ", 1)


@pytest.mark.parametrize("delimiter", ["b", ("a", "cb")])
def test_steps_leave_the_distribution_alone(delimiter: str | tuple[str, ...]) -> None:
    """What one beam samples is the model's, ends behind a delimiter included: 5.5 standard errors."""
    searches = 3000
    config = BeamSearchConfig(
        beam_width=1,
        n_per_beam=1,
        tokens_per_step=3,
        max_tokens=LENGTH_OF_TEXT,
        block=Steps(delimiter),
    )
    ends = (search(config, seed)[1].result("max_tokens").beams for seed in range(searches))
    found = Counter(tokens_of(beam) for (beam,) in ends)
    expected = powers(1.0)
    assert found.keys() <= expected.keys()
    for tokens, p in expected.items():
        error = math.sqrt(p * (1 - p) / searches)
        assert abs(found[tokens] / searches - p) < max(5.5 * error, 3 / searches), tokens


def test_the_evidence_of_particles_is_unbiased_over_steps() -> None:
    """By less than five standard errors; the steps differ in length."""
    config = BeamSearchConfig(
        selection=Resample(0.7),
        alpha=2.0,
        beam_width=4,
        n_per_beam=2,
        tokens_per_step=3,
        max_tokens=LENGTH_OF_TEXT,
        block=Steps(("b", "ca")),
    )
    values = []
    for seed in range(600):
        evidence = search(config, seed)[0].log_evidence
        assert evidence is not None
        values.append(math.exp(evidence))
    error = statistics.stdev(values) / math.sqrt(len(values))
    assert abs(statistics.mean(values) - sum(powers(2.0).values())) < 5 * error
