"""Self-consistency: which text stands for the answer that most texts give."""

from __future__ import annotations

from collections import Counter

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.making import block
from trio_beam.benchmark.voting import vote
from trio_beam.core.beam import Beam


def beam(text: str, score: float, multiplicity: int = 1) -> Beam:
    one = Beam().extend(block(text))
    return attrs.evolve(one, score=score, multiplicity=multiplicity)


def last_letter(text: str) -> str | None:
    """The answer of these texts; "?" is none."""
    return None if text[-1] == "?" else text[-1]


beams = st.lists(
    st.builds(
        beam,
        st.text("xy", max_size=3).flatmap(lambda head: st.sampled_from([head + e for e in "abc?"])),
        st.floats(-9, 0),
        st.integers(1, 4),
    ),
    max_size=8,
)


def test_the_majority_wins_over_the_best_score() -> None:
    voted = vote([beam("1a", -1), beam("2b", -5), beam("3b", -4)], last_letter)
    assert voted.winner is not None
    assert voted.winner.text == "3b"
    assert list(voted.shares) == [("b", 2 / 3), ("a", 1 / 3)]


def test_a_text_that_came_often_votes_as_often() -> None:
    voted = vote([beam("1a", -9, 3), beam("2b", -1), beam("3b", -1)], last_letter)
    assert voted.winner is not None
    assert voted.winner.text == "1a"
    assert voted.shares[0] == ("a", 0.6)


def test_a_tie_goes_to_the_better_text() -> None:
    voted = vote([beam("1a", -3), beam("2b", -2)], last_letter)
    assert voted.winner is not None
    assert voted.winner.text == "2b"


def test_no_answer_wins_only_if_there_is_no_other() -> None:
    voted = vote([beam("1?", -1), beam("2?", -1), beam("3a", -9)], last_letter)
    assert voted.winner is not None
    assert voted.winner.text == "3a"
    assert list(voted.shares) == [("a", 1 / 3), (None, 2 / 3)]
    alone = vote([beam("1?", -2), beam("2?", -1)], last_letter)
    assert alone.winner is not None
    assert alone.winner.text == "2?"


def test_of_no_texts_there_is_no_winner() -> None:
    voted = vote([], last_letter)
    assert voted.winner is None
    assert voted.shares == ()


@given(beams)
def test_votes_are_counted_as_a_counter_does(given_beams: list[Beam]) -> None:
    counted: Counter[str | None] = Counter()
    for one in given_beams:
        counted[last_letter(one.text)] += one.multiplicity
    voted = vote(given_beams, last_letter)
    total = sum(counted.values())
    assert dict(voted.shares) == {a: pytest.approx(n / total) for a, n in counted.items()}
    if not given_beams:
        return
    assert voted.winner is not None
    winner = last_letter(voted.winner.text)
    answers = [n for answer, n in counted.items() if answer is not None] or [*counted.values()]
    assert counted[winner] == max(answers)
    group = [one.score for one in given_beams if last_letter(one.text) == winner]
    assert voted.winner.score == max(group)


@given(beams, st.randoms())
def test_the_order_of_the_texts_does_not_matter(given_beams: list[Beam], random: object) -> None:
    shuffled = list(given_beams)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = vote(given_beams, last_letter), vote(shuffled, last_letter)
    assert dict(one.shares) == dict(other.shares)
    assert (one.winner is None) == (other.winner is None)
    if one.winner is not None and other.winner is not None:
        assert one.winner.score == other.winner.score
