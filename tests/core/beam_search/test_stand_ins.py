"""Failures that know nothing of the texts bias no weight: survivors stand in for what has failed."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.builders import answer, block, failed, opened
from tests.core.language import LENGTH_OF_TEXT, powers, reward_of, search, tokens_of
from trio_beam.core.beam import Beam
from trio_beam.core.beam_search.machine import BeamSearchMachine
from trio_beam.core.beam_search.phases import Phase
from trio_beam.core.beam_search.stand_ins import fill_groups, replace_members
from trio_beam.core.config import BeamSearchConfig, Lookahead
from trio_beam.core.steps import Failed
from trio_beam.errors import ServerError
from trio_beam.rewards import RewardModel
from trio_beam.selection import Resample

BROKEN = ServerError("broken", status=500)


def offsets(survivors: int) -> list[float]:
    """Offsets that stand for all: between two multiples of 1 / survivors the choice is the same."""
    return [(step + 0.5) / survivors for step in range(survivors)]


def particle(name: str, log_weight: float) -> Beam:
    return Beam().extend(block(name)).replace(log_weight=log_weight)


def shares(groups: list[list[Beam]]) -> Counter[str]:
    """The weight of each text, each candidate having its share of its group's."""
    found: Counter[str] = Counter()
    for group in groups:
        for beam in group:
            found[beam.text] += math.exp(beam.log_weight) / len(group)  # type: ignore[assignment]
    return found


@st.composite
def rounds(draw: st.DrawFn) -> list[list[Beam]]:
    """Groups of up to three candidates, with weights and texts of their own."""
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=5))
    weights = st.floats(-3, 3)
    return [
        [particle(f"{number}.{one}", draw(weights)) for one in range(size)]
        for number, size in enumerate(sizes)
    ]


def assert_same(mean: Counter[str], before: Counter[str]) -> None:
    assert mean == pytest.approx(before, rel=1e-9)


@settings(deadline=None, max_examples=50)
@given(rounds(), st.data())
def test_whichever_groups_fail_the_mean_weight_of_each_text_is_the_same(
    groups: list[list[Beam]], data: st.DataObject
) -> None:
    """Over all sets of so many that fail, and all choices of those that stand in: exactly."""
    count = data.draw(st.integers(0, len(groups) - 1))
    mean: Counter[str] = Counter()
    sets = list(itertools.combinations(range(len(groups)), count))
    for lost in sets:
        left = [[] if number in lost else group for number, group in enumerate(groups)]
        for at in offsets(len(groups) - count):
            filled = fill_groups(left, 0, at)
            assert len({id(beam) for group in filled for beam in group}) == sum(map(len, filled))
            for text, weight in shares(filled).items():
                mean[text] += weight / len(sets) / (len(groups) - count)  # type: ignore[assignment]
    assert_same(mean, shares(groups))


@settings(deadline=None, max_examples=50)
@given(rounds(), st.data())
def test_whichever_futures_fail_the_mean_weight_of_each_text_is_the_same(
    groups: list[list[Beam]], data: st.DataObject
) -> None:
    """Also where groups are of different sizes, and some candidates have no future to lose."""
    everybody = [beam for group in groups for beam in group]
    asked = [beam for beam in everybody if data.draw(st.booleans())] or everybody[:1]
    count = data.draw(st.integers(0, min(2, len(asked) - 1)))
    mean: Counter[str] = Counter()
    sets = list(itertools.combinations(asked, count))
    for lost in sets:
        futures = {beam: None if beam in lost else beam.log_weight - 1 for beam in asked}
        for at in offsets(len(asked) - count):
            filled, known = replace_members(groups, futures, at)
            assert len(known) == len(asked)
            for text, weight in shares(filled).items():
                mean[text] += weight / len(sets) / (len(asked) - count)  # type: ignore[assignment]
    assert_same(mean, shares(groups))


@given(st.integers(1, 6), st.integers(0, 5), st.integers(0, 999))
def test_a_first_round_is_filled_by_copies_of_its_candidates(n: int, lost: int, place: int) -> None:
    at = (place + 0.5) / 1000
    members = [particle(str(number), 0.0) for number in range(n)]
    (filled,) = fill_groups([members], n + lost, at)
    assert len(filled) == len({id(beam) for beam in filled}) == n + lost
    counts = Counter(beam.text for beam in filled)
    assert len(counts) == n
    assert max(counts.values()) - min(counts.values()) <= 1


#: Its numbers come with the outcomes.
REWARD = RewardModel(function=lambda *_: [])
RUNS = 200
WIDTH = 16


@pytest.mark.parametrize(
    ("alpha", "n", "selection", "changes"),
    [
        (1.0, 1, Resample(), {}),
        (2.0, 1, Resample(), {}),
        (2.0, 2, Resample(1.0), {}),
        (2.0, 1, Resample(1.0, Lookahead(2, 2)), {}),
        (2.0, 3, Resample(0.5, Lookahead(1, 2)), {}),
        (2.0, 1, Resample(1.0), {"scorer": REWARD}),
    ],
)
def test_the_evidence_is_unbiased_under_failures(
    alpha: float, n: int, selection: Resample, changes: dict[str, Any]
) -> None:
    """A tenth of the requests fail; the mean weight of each length is still its share of the target.

    Searches in which nobody is left to stand in fail, fewer than one in 50. 30 means, each about
    normal: at 4 standard errors this fails once in 500 sets of seeds, of which it has one that is fixed.
    A standard error is about a fiftieth; without stand-ins a tenth would be lost in every round.
    """
    exact: defaultdict[Any, float] = defaultdict(float)
    for tokens, value in powers(alpha).items():
        exact[len(tokens)] += value * (math.exp(reward_of(tokens)) if changes else 1)
    exact["all"] = sum(exact.values())
    config = BeamSearchConfig(
        selection=selection,
        alpha=alpha,
        beam_width=WIDTH,
        n_per_beam=n,
        tokens_per_step=1,
        max_tokens=LENGTH_OF_TEXT,
        on_beam_failure="drop_beam",
        **changes,
    )
    sums: defaultdict[Any, float] = defaultdict(float)
    squares: defaultdict[Any, float] = defaultdict(float)
    runs = 0
    for run in range(RUNS):
        result, machine = search(config, run, failing=0.1)
        if machine.phase is Phase.FAILED:
            continue
        runs += 1
        particles = [*machine._ended, *machine._active]
        assert len(particles) == WIDTH
        found: defaultdict[Any, float] = defaultdict(float)
        for beam in particles:
            found[len(tokens_of(beam))] += math.exp(beam.log_weight) / WIDTH
        found["all"] = sum(found.values())
        assert result.log_evidence == pytest.approx(math.log(found["all"]))
        for cell, value in found.items():
            sums[cell] += value
            squares[cell] += value * value
    assert runs > 0.98 * RUNS
    for cell, expected in exact.items():
        mean = sums[cell] / runs
        error = math.sqrt((squares[cell] / runs - mean * mean) / runs)
        assert abs(mean - expected) <= 4 * error + 1e-9, cell


def test_nobody_stands_in_where_all_have_failed() -> None:
    """The ended ones alone would be another distribution."""
    config = BeamSearchConfig(
        selection="resample",
        beam_width=2,
        n_per_beam=1,
        tokens_per_step=1,
        max_tokens=3,
        on_beam_failure="drop_beam",
    )
    machine = BeamSearchMachine(config)
    opened(machine)
    machine.receive(answer(0, block("a", reason="stop"), block("b")))
    opened(machine)
    machine.receive(failed(0, BROKEN))
    assert isinstance(machine.step(), Failed)
    partial = machine.result("failed")
    assert {beam.text for beam in partial.beams} == {"a", "b"}
    assert [failure.error for failure in partial.failures] == [BROKEN]
