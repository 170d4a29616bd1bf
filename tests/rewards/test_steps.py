"""A beam's steps: they are its text, whatever its blocks divide."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.core.builders import block, chain
from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation, Token
from trio_beam.core.reward_scorer import steps_of

TEXT = st.text(st.sampled_from("ab \n\n.é漢🦜"), min_size=1, max_size=12)


@given(TEXT, st.lists(st.integers(0, 40), max_size=6), st.integers(0, 4))
def test_the_steps_are_the_text_and_each_block_has_one(
    text: str, cuts: list[int], trim: int
) -> None:
    """Blocks end anywhere, inside characters too, and a stop string may be cut off the end."""
    data = text.encode()
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    beam = Beam()
    for start, end in pairwise(places):
        piece = data[start:end]
        token = Token(piece.decode("utf-8", "replace"), -1.0, None, piece)
        beam = beam.extend(Continuation(tokens=(token,), data=piece))
    beam = beam.replace(trim=min(trim, len(text)))
    steps, index = steps_of(beam)
    assert "".join(steps) == beam.text
    assert len(index) == len(beam.lineage())
    assert index == sorted(index)
    assert set(index) <= set(range(len(steps)))


def test_a_block_is_a_step_unless_it_is_blank() -> None:
    beam = chain([block("a b"), block("\n\n"), block("c"), block("")])
    assert steps_of(beam) == (["a b\n\n", "c"], [0, 0, 1, 1])
    assert steps_of(Beam()) == ([], [])


def test_the_thinking_before_the_answer_is_no_step() -> None:
    beam = chain([block("<think>", "a"), block("b\n\n"), block("c</think>\n", "d\n\n"), block("e")])
    assert beam.text == "d\n\ne"
    assert steps_of(beam) == (["d\n\n", "e"], [0, 0, 0, 1])
    assert steps_of(chain([block("<think>", "a"), block("b")])) == ([""], [0, 0])
