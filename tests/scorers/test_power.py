"""The score of p^alpha, and the most that a beam can still reach."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.builders import block, block_of, chain
from trio_beam.core.beam import Beam
from trio_beam.core.block import Token
from trio_beam.core.config import BeamSearchConfig
from trio_beam.scorers.power import Power

power = Power()
# Sums of eighths are exact.
LOGPROBS = st.lists(st.integers(-80, 0).map(lambda n: n / 8), max_size=12)
CONFIGS = st.builds(
    BeamSearchConfig,
    alpha=st.floats(0.01, 100),
    max_tokens=st.just(24),
    use_length_penalty=st.booleans(),
    length_penalty=st.floats(0, 10),
)


def beam_of(logprobs: list[float]) -> Beam:
    return chain([block_of(Token("a", logprob) for logprob in logprobs)])


@pytest.mark.parametrize(
    ("values", "score"),
    [
        ({"alpha": 4.0, "length_penalty": 0.5}, 4.0 * -6.0 / 2.0),
        ({"alpha": 1.0, "length_penalty": 1.0}, -1.5),
        ({"alpha": 1.0, "length_penalty": 0.0}, -6.0),
        ({"alpha": 0.5, "use_length_penalty": False}, -3.0),
    ],
)
def test_score_of_four_tokens(values: dict[str, float], score: float) -> None:
    config = BeamSearchConfig(**values)  # type: ignore[arg-type]
    assert power([chain([block("a", "b", "c", "d", logprob=-1.5)])], config) == [score]


def test_nothing_is_known_of_a_beam_without_tokens() -> None:
    beams = [Beam(), chain([block(reason="stop")]), chain([block("a", logprob=0.0)])]
    assert power(beams, BeamSearchConfig()) == [-math.inf, -math.inf, 0.0]


@given(config=CONFIGS, logprobs=LOGPROBS, more=LOGPROBS)
def test_no_continuation_reaches_more_than_the_bound(
    config: BeamSearchConfig, logprobs: list[float], more: list[float]
) -> None:
    (score,) = power([beam_of(logprobs + more)], config)
    assert score <= power.best_reachable(beam_of(logprobs), config)


@given(config=CONFIGS, logprobs=LOGPROBS)
def test_the_bound_is_reached_by_certain_tokens(
    config: BeamSearchConfig, logprobs: list[float]
) -> None:
    certain = [0.0] * (config.max_tokens - len(logprobs))
    assert power([beam_of(logprobs + certain)], config) == [
        power.best_reachable(beam_of(logprobs), config)
    ]


@given(
    beams=st.lists(LOGPROBS.map(beam_of), max_size=6), alpha=st.sampled_from([0.25, 0.5, 2.0, 8.0])
)
def test_alpha_changes_no_order(beams: list[Beam], alpha: float) -> None:
    scores = power(beams, BeamSearchConfig(alpha=alpha))
    plain = power(beams, BeamSearchConfig(alpha=1.0))
    order = sorted(range(len(beams)), key=scores.__getitem__)
    assert order == sorted(range(len(beams)), key=plain.__getitem__)


def test_the_greatest_penalty_can_be_computed_for_very_long_beams() -> None:
    # A power that is too large for a float would be an error in the middle of a search.
    config = BeamSearchConfig(length_penalty=10.0, max_tokens=10**9)
    assert -1e-80 < power.best_reachable(beam_of([-8.0]), config) < 0
