"""Independent subtrees: of each the best stays, whatever the others have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.core.builders import block, chain
from tests.core.language import search, tokens_of
from trio_beam.core.beam import Beam
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.population import ScoredRound
from trio_beam.selection.subtrees import Subtrees

CONFIG = BeamSearchConfig(selection="subtrees", beam_width=2, n_per_beam=2)


def scored(groups: Sequence[Sequence[Beam]], **changes: Any) -> ScoredRound:
    values: dict[str, Any] = {"number": 2, "ended": [], "carried": [], "chance": lambda _: 0.5}
    return ScoredRound(groups=groups, **(values | changes))


def beam(text: str, score: float, reason: str = "length") -> Beam:
    return chain([block(text, reason=reason)]).replace(score=score)


def test_the_best_of_each_stays_though_another_has_better_ones() -> None:
    good, better, bad, worse = map(beam, "abcd", (-2, -1, -8, -9))
    kept = Subtrees().select(scored([[good, better], [worse, bad]]), CONFIG)
    assert list(kept.active) == [better, bad]


def test_the_first_round_is_cut_into_as_many_as_the_width() -> None:
    beams = list(map(beam, "abcd", (-2, -1, -3, -4)))
    kept = Subtrees().select(scored([beams], number=1), CONFIG)
    assert list(kept.active) == [beams[1], beams[2]]


def test_a_subtree_whose_best_has_ended_is_done() -> None:
    ended, open_ = beam("a", -1, "stop"), beam("b", -2)
    before = beam("z", -5, "stop")
    kept = Subtrees().select(scored([[ended, open_]], ended=[before]), CONFIG)
    assert list(kept.active) == []
    assert list(kept.ended) == [ended, before]


def test_the_same_text_in_two_subtrees_stays_twice_and_is_shown_once() -> None:
    """On a chain that always says the same: the subtrees stay, the result has one beam."""
    config = BeamSearchConfig(
        selection="subtrees", beam_width=3, n_per_beam=1, tokens_per_step=1, max_tokens=2,
        proposal_temperature=0.01, early_stopping=False,
    )  # fmt: skip
    _, state = search(config, 1)
    result = state.result("max_tokens")
    assert len(state._active) + len(state._ended) == 3
    assert len(result.beams) == 1
    assert result.beams[0].multiplicity == 3


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(0, 10**6))
def test_it_is_as_many_greedy_searches(width: int, n: int, tokens: int, seed: int) -> None:
    """Never more than one beam a subtree, and none of them is lost before it ends."""
    config = BeamSearchConfig(
        selection="subtrees", beam_width=width, n_per_beam=n, tokens_per_step=tokens, max_tokens=4,
        deduplicate=False, early_stopping=False,
    )  # fmt: skip
    _, state = search(config, seed)
    result = state.result("max_tokens")
    assert len(state._active) + len(state._ended) == len(result.beams) == width
    assert all(1 <= len(tokens_of(beam)) <= 4 for beam in result.beams)
    assert [beam.score for beam in result.beams] == sorted(
        (beam.score for beam in result.beams), reverse=True
    )
