"""Particles drawn by a power of p that rises to alpha, and what that does for texts of 12 tokens."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any, TypeAlias

import pytest

from tests.core.builders import block
from tests.core.language import END, logprobs, search, tokens_of
from trio_beam.core.beam import Beam
from trio_beam.core.config import BeamSearchConfig, Lookahead
from trio_beam.core.population import ScoredRound
from trio_beam.selection import Resample

LONGEST = 12
#: The first token of a text, its length, and whether it has ended.
Cell: TypeAlias = tuple[int, int, bool]


def config(selection: Resample, **changes: Any) -> BeamSearchConfig:
    values: dict[str, Any] = {
        "selection": selection,
        "beam_width": 64,
        "n_per_beam": 1,
        "tokens_per_step": 1,
        "max_tokens": LONGEST,
    }
    return BeamSearchConfig(**(values | changes))


def exact(alpha: float) -> dict[Cell, float]:
    """The share of each cell in p^alpha."""
    now: dict[tuple[int, int], float] = {}
    found: defaultdict[Cell, float] = defaultdict(float)
    for token, value in enumerate(logprobs(None)):
        if token == END:
            found[END, 1, True] += math.exp(alpha * value)
        else:
            now[token, token] = math.exp(alpha * value)
    for length in range(2, LONGEST + 1):
        then: defaultdict[tuple[int, int], float] = defaultdict(float)
        for (first, last), weight in now.items():
            for token, value in enumerate(logprobs(last)):
                more = weight * math.exp(alpha * value)
                if token == END:
                    found[first, length, True] += more
                else:
                    then[first, token] += more
        now = then
    for (first, _), weight in now.items():
        found[first, LONGEST, False] += weight
    total = sum(found.values())
    return {cell: weight / total for cell, weight in found.items()}


def distance(wanted: BeamSearchConfig, runs: int) -> float:
    """Total variation between p^alpha and the law of the answer, by the mean weights of many searches."""
    mean: defaultdict[Cell, float] = defaultdict(float)
    for run in range(runs):
        result, _ = search(wanted, 500_000 + run)
        for beam in result.beams:
            tokens = tokens_of(beam)
            assert beam.weight is not None
            mean[tokens[0], len(tokens), beam.finished] += beam.weight / runs
    return sum(abs(mean[cell] - share) for cell, share in exact(wanted.alpha).items()) / 2


def test_the_default_draws_from_p_alpha_where_drawing_by_p_alpha_itself_does_not() -> None:
    """Texts of up to 12 tokens, alpha 4, blocks of one, 64 particles.

    The means of 40 searches are within 0.03 of what they would be without end; the seeds are fixed.
    """
    default, blind = (distance(config(Resample(alpha_ramp_tokens=ramp)), 40) for ramp in (None, 0))
    assert default < 0.08 < 0.2 < blind


def test_particles_that_move_are_nearer() -> None:
    """Eight particles: exactly p^4 but for how few they are; the seeds are fixed."""
    still, moving = (
        distance(config(Resample(moves=moves), beam_width=8, tokens_per_step=3), 60)
        for moves in (0, 3)
    )
    assert still > 0.25 > 0.12 > moving


def test_the_default_proposal_is_the_model_itself() -> None:
    """The papers' temperature of 1 / alpha finds the texts late that end early: a worse default here."""
    usual, sharp = (
        distance(config(Resample(), proposal_temperature=temperature), 40)
        for temperature in (BeamSearchConfig().proposal_temperature, 0.25)
    )
    assert usual < 0.08 < 0.3 < sharp


@pytest.mark.parametrize(
    ("selection", "length", "exponent"),
    [
        (Resample(), 3, 1.75),
        (Resample(), 11, 3.75),
        (Resample(alpha_ramp_tokens=6), 3, 2.5),
        (Resample(alpha_ramp_tokens=6), 6, 4.0),
        (Resample(alpha_ramp_tokens=6), 9, 4.0),
        (Resample(alpha_ramp_tokens=0), 1, 4.0),
        (Resample(0.5, Lookahead(3, 1)), 3, 2.5),
        (Resample(0.5, Lookahead(9, 1)), 3, 4.0),
    ],
)
def test_the_exponent_rises_with_the_longest_text_that_goes_on(
    selection: Resample, length: int, exponent: float
) -> None:
    beam = Beam().extend(block(*"a" * length))
    short = Beam().extend(block("b"))
    ended = Beam().extend(block(*"c" * 12, reason="stop"))
    scored = ScoredRound(
        number=2, ended=[ended], carried=[], groups=[[beam], [short]], chance=lambda _: 0.5
    )
    assert selection.exponent(scored, config(selection)) == pytest.approx(exponent)


def test_where_nothing_goes_on_it_is_alpha() -> None:
    beam = Beam().extend(block("a", reason="stop"))
    scored = ScoredRound(number=2, ended=[beam], carried=[], groups=[], chance=lambda _: 0.5)
    assert Resample().exponent(scored, config(Resample())) == 4.0
