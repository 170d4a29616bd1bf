"""A beam's steps: they are its answer, and end where a delimiter ends them, whatever its blocks divide."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.builders import block, block_of, chain
from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation, Token
from trio_beam.core.delimiters import Steps
from trio_beam.core.reasoning import Thinking
from trio_beam.core.reward_scorer import steps_of

TEXT = st.text(st.sampled_from("ab \n\n.é漢🦜"), min_size=1, max_size=12)
THINKING = st.sampled_from(["", "<think>a\n\n.b</think>", "<think>\n\n漢</think>\n\n", "<think>a"])


def tokens_of(text: str, cuts: Sequence[int]) -> list[Token]:
    """Tokens that end at these bytes, inside characters too."""
    data = text.encode()
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    pieces = [data[start:end] for start, end in pairwise(places)]
    return [Token(piece.decode("utf-8", "replace"), -1.0, None, piece) for piece in pieces]


def in_blocks(
    tokens: Sequence[Token], steps: Steps | None, size: int, thinking: Thinking = "auto"
) -> Beam:
    """A beam whose model always goes on with the same tokens."""
    beam = Beam(thinking=thinking)
    while beam.length < len(tokens):
        more = block_of(tokens[beam.length : beam.length + size], "length")
        beam = beam.extend(more if steps is None else steps.cut(beam, more))
    return beam


@given(THINKING, TEXT, st.lists(st.integers(0, 60), max_size=8), st.integers(1, 4), st.booleans())
def test_the_steps_are_the_answer(
    thinking: str, text: str, cuts: list[int], size: int, by_delimiter: bool
) -> None:
    steps = Steps(("\n\n", ".")) if by_delimiter else None
    beam = in_blocks(tokens_of(thinking + text, cuts), steps, size)
    for trim in range(len(text)):
        cut = beam.replace(trim=trim)
        found = steps_of(cut)
        assert "".join(found) == ("" if cut.unanswered else cut.text)
        assert bool(found) != cut.unanswered
        assert len(found) <= len(cut.lineage())


@given(THINKING, TEXT, st.lists(st.integers(0, 60), max_size=8), st.integers(1, 4))
def test_the_length_of_blocks_changes_no_step(
    thinking: str, text: str, cuts: list[int], size: int
) -> None:
    tokens = tokens_of(thinking + text, cuts)
    steps = Steps(("\n\n", "."))
    found = steps_of(in_blocks(tokens, steps, size))
    assert found == steps_of(in_blocks(tokens, steps, 99))


@given(TEXT, st.integers(1, 3))
def test_each_step_ends_behind_its_only_delimiter(text: str, size: int) -> None:
    """With a token per byte; blank steps belong to the step before, or to the first one."""
    found = steps_of(in_blocks(tokens_of(text, range(60)), Steps("."), size))
    assert found == joined(text.split("."))


def joined(parts: Sequence[str]) -> list[str]:
    """What stands between delimiters, with them, and without steps that are blank."""
    found: list[str] = []
    for place, part in enumerate(parts):
        step = part + ("." if place < len(parts) - 1 else "")
        if found and not (step.strip() and found[-1].strip()):
            found[-1] += step
        elif step:
            found.append(step)
    return found


@pytest.mark.parametrize("thinking", ["auto", "opened"])
def test_thinking_is_no_step(thinking: Thinking) -> None:
    blocks = [block("a\n\n"), block("b\n\n"), block("c</think>\n\nd"), block(" e\n\n"), block("f")]
    beam = chain(blocks).replace(thinking=thinking)
    assert steps_of(beam) == ["d", " e\n\n", "f"]
    still = Beam(thinking="opened").extend(block("a"))
    assert steps_of(still) == []


def test_a_block_is_a_step_unless_it_is_blank() -> None:
    beam = chain([block("a b"), block("\n\n"), block("c"), block("")])
    assert steps_of(beam) == ["a b\n\n", "c"]
    assert steps_of(Beam()) == []


def test_a_block_that_was_cut_inside_a_step_goes_on_in_the_next() -> None:
    tokens = [
        Token(text, -1.0) for text in ["a", "b", "c", "\n", "\n", "d", "\n", "\n", "\n\n", "e"]
    ]
    beam = in_blocks(tokens, Steps(), 2)
    assert [node.fragment for node in beam.lineage()][:3] == ["ab", "c\n", "\n"]
    assert steps_of(beam) == ["abc\n\n", "d\n\n\n\n", "e"]


def test_a_beam_without_text_has_one_blank_step() -> None:
    ended = Beam().extend(
        Continuation(tokens=(Token("", -1.0, 0, b""),), data=b"", finish_reason="stop")
    )
    assert steps_of(ended) == [""]
