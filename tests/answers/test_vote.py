"""Votes: which answer wins, and by how much."""

from __future__ import annotations

import math
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.builders import block, chain
from trio_beam.answers.vote import Vote
from trio_beam.core.beam import Beam
from trio_beam.errors import VoteError


def beam(text: str, score: float = 0.0, **changes: Any) -> Beam:
    return chain([block(text)]).replace(score=score, **changes)


def test_the_best_of_the_most_frequent_answer_wins() -> None:
    beams = [beam("x 7", -1), beam("y 8", -2), beam("z 8", -3)]
    order, votes = Vote(lambda text: int(text[-1]), "count").choose(beams)
    assert [one.text for one in order] == ["y 8", "z 8", "x 7"]
    assert list(votes) == [(8, 2 / 3), (7, 1 / 3)]


def test_candidates_that_were_merged_have_a_vote_each() -> None:
    beams = [beam("a", -1), beam("b", -2, multiplicity=2)]
    order, votes = Vote(None, "count").choose(beams)
    assert order[0].text == "b"
    assert dict(votes) == {"b": pytest.approx(2 / 3), "a": pytest.approx(1 / 3)}


def test_by_score_a_likely_answer_beats_two_unlikely_ones() -> None:
    beams = [beam("7", -1), beam("8", -3), beam("8 ", -3)]
    _, votes = Vote(None, "score").choose(beams)
    assert votes[0][0] == "7"
    assert votes[0][1] == pytest.approx(1 / (1 + 2 * math.exp(-2)))
    _, votes = Vote(None, "count").choose(beams)
    assert votes[0][0] == "8"


def test_weights_are_votes_where_there_are_any() -> None:
    beams = [beam("7", weight=0.2), beam("8", -9, weight=0.5), beam("7 ", weight=0.3 - 1e-9)]
    _, votes = Vote(None, "score").choose(beams)
    assert votes[0][0] == "8"


def test_a_text_without_an_answer_has_no_vote() -> None:
    beams = [beam("none"), beam("none "), beam("7", -5)]
    order, votes = Vote(lambda text: text if text.isdigit() else None, "count").choose(beams)
    assert order[0].text == "7"
    assert votes == (("7", 1.0),)
    order, votes = Vote(lambda _: None, "count").choose(beams[:2])
    assert [one.text for one in order] == ["none", "none "]
    assert votes == ()


@pytest.mark.parametrize("key", [lambda text: [text], lambda text: 1 / 0])
def test_a_key_that_fails_is_named(key: Any) -> None:
    with pytest.raises(VoteError, match="the key '<lambda>' of the vote failed") as caught:
        Vote(key, "count").choose([beam("7")])
    assert caught.value.key == "<lambda>"


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.floats(-800, 0) | st.just(-math.inf)), max_size=8
    ),
    st.sampled_from(["count", "score"]),
)
def test_nothing_is_lost_and_shares_sum_to_one(given: list[tuple[str, float]], by: Any) -> None:
    beams = sorted((beam(text, score) for text, score in given), key=lambda one: -one.score)
    order, votes = Vote(None, by).choose(beams)
    assert sorted(map(id, order)) == sorted(map(id, beams))
    if beams:
        assert sum(share for _, share in votes) == pytest.approx(1)
        assert order[0].text == votes[0][0]
        assert [share for _, share in votes] == sorted((s for _, s in votes), reverse=True)


@pytest.mark.parametrize("by", ["count", "score"])
def test_where_beams_have_weights_these_are_the_votes(by: Literal["count", "score"]) -> None:
    """Particles without their weights are plain samples, whatever alpha is."""
    weighted = [("yes", 0.2, 3), ("no", 0.7, 1), ("yes", 0.1, 2)]
    beams = [
        Beam().extend(block(text)).replace(weight=weight, multiplicity=count)
        for text, weight, count in weighted
    ]
    chosen, votes = Vote(by=by).choose(beams)
    assert chosen[0].text == "no"
    assert dict(votes) == pytest.approx({"no": 0.7, "yes": 0.3})
