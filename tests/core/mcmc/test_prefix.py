"""A beam may be cut between any two tokens, and goes on from there as if it had never been longer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.core.builders import block, block_of, bytes_block, chain, pieces_of
from trio_beam.core import stop
from trio_beam.core.beam import Beam
from trio_beam.core.block import STOP, Continuation, Token
from trio_beam.core.mcmc.prefix import prefix

TEXT = "aß漢🦜z"


@given(st.lists(st.integers(1, 11)), st.lists(st.integers(1, 11)), st.data())
def test_a_prefix_is_what_its_tokens_make(
    tokens: list[int], blocks: list[int], data: st.DataObject
) -> None:
    """Tokens of any bytes, blocks of any tokens, cut anywhere."""
    pieces = [bytes(piece) for piece in pieces_of(TEXT.encode(), tokens)]
    beam = chain(bytes_block(*some) for some in pieces_of(pieces, blocks))
    count = data.draw(st.integers(0, len(pieces)))
    cut = prefix(beam, count)
    again = chain([bytes_block(*pieces[:count])] if count else [])
    assert cut.same_tokens(again)
    assert (cut.text, cut.pending, cut.length) == (again.text, again.pending, count)
    assert cut.logprob == -count
    assert not cut.ended
    assert cut.extend(bytes_block(*pieces[count:])).text == TEXT


def test_whole_blocks_are_shared() -> None:
    one = Beam().extend(block("a", "b"))
    two = one.extend(block("c", "d"))
    assert prefix(two, 2) is one
    assert prefix(two, 3).parent is one
    assert prefix(two, 4) is two
    assert prefix(two, 0) is one.parent


def test_the_prefix_of_an_ended_beam_has_not_ended() -> None:
    beam = chain([block("a", "b", reason=STOP)])
    assert [prefix(beam, count).finish_reason for count in range(3)] == ["length"] * 3
    silent = chain([block("a", "b"), block(reason=STOP)])
    assert prefix(silent, 2) is silent.parent
    stopped = stop.extend(Beam(), block("a", ". x", "b"), (".",))
    assert stopped.text == prefix(stopped, 1).text == "a"
    assert prefix(stopped, 1).trim == 0


def test_what_was_sampled_from_goes_with_its_tokens() -> None:
    tokens = tuple(Token(letter, -1.0) for letter in "abc")
    beam = Beam().extend(Continuation(tokens=tokens, data=b"abc", proposal=(-0.1, -0.2, -0.3)))
    cut = prefix(beam, 2).continuation
    assert cut is not None
    assert cut.proposal == (-0.1, -0.2)
    assert prefix(Beam().extend(block_of(tokens)), 2).exact
