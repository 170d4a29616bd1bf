"""A beam: its text, its tokens, and what it is not allowed to cost."""

from __future__ import annotations

import gc
import weakref
from typing import cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.builders import block, block_of, bytes_block, chain, pieces_of
from trio_beam.core import stop
from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation, Token

CHARACTERS = st.one_of(
    st.characters(codec="utf-8"),
    st.sampled_from(["é", "e\u0301", "漢", "🙂", "👩\u200d🚀", "\ufffd"]),
)
TEXTS = st.lists(CHARACTERS, max_size=12).map("".join)
CUTS = st.lists(st.integers(0, 60), max_size=12)
DEPTH = 20_000


# -- text


@pytest.mark.parametrize("cut", range(len("né漢🙂e\u0301".encode()) + 1))
def test_a_character_split_between_two_blocks_survives(cut: int) -> None:
    data = "né漢🙂e\u0301".encode()
    beam = chain([bytes_block(data[:cut]), bytes_block(data[cut:])])
    assert beam.text == "né漢🙂e\u0301"


@given(text=TEXTS, cuts=CUTS)
def test_text_is_the_same_however_its_bytes_are_cut(text: str, cuts: list[int]) -> None:
    beam = chain(bytes_block(bytes(piece)) for piece in pieces_of(text.encode(), cuts))
    assert beam.text == text
    assert beam.pending == b""


@given(data=st.binary(max_size=30), cuts=CUTS)
def test_broken_bytes_read_as_if_they_had_come_in_one_piece(data: bytes, cuts: list[int]) -> None:
    beam = chain(bytes_block(bytes(piece)) for piece in pieces_of(data, cuts))
    assert beam.text == data.decode("utf-8", "replace")


def test_the_rest_of_a_character_at_the_very_end_shows_as_a_replacement() -> None:
    beam = chain([bytes_block(b"a", "漢".encode()[:2])])
    assert beam.text == "a\ufffd"
    assert beam.extend(bytes_block("漢".encode()[2:])).text == "a漢"


@given(text=TEXTS, cuts=CUTS, size=st.integers(1, 20))
def test_tail_is_the_end_of_the_text(text: str, cuts: list[int], size: int) -> None:
    beam = chain(block(str(piece)) for piece in pieces_of(text, cuts))
    assert beam.tail(size) == text[-size:]
    assert beam.tail(0) == ""


# -- tokens

TOKENS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "ab", ""]),
        st.sampled_from([-0.5, -1.0]),
        st.sampled_from([None, 0, 1, 97]),
    ).map(lambda fields: Token(*fields)),
    max_size=8,
)


@given(tokens=TOKENS, cuts=CUTS)
def test_tokens_come_in_order_with_their_sum_and_number(
    tokens: list[Token], cuts: list[int]
) -> None:
    beam = chain(block_of(piece) for piece in pieces_of(tokens, cuts))
    assert beam.tokens == tuple(tokens)
    assert beam.length == len(tokens)
    assert beam.logprob == sum(token.logprob for token in tokens)


@given(tokens=TOKENS, cuts=CUTS, others=CUTS)
def test_the_same_tokens_are_the_same_however_they_are_cut(
    tokens: list[Token], cuts: list[int], others: list[int]
) -> None:
    one = chain(block_of(piece) for piece in pieces_of(tokens, cuts))
    two = chain(block_of(piece) for piece in pieces_of(tokens, others))
    assert one.same_tokens(two)


@given(tokens=TOKENS, others=TOKENS, cuts=CUTS)
def test_other_tokens_are_not_the_same(
    tokens: list[Token], others: list[Token], cuts: list[int]
) -> None:
    one = chain(block_of(piece) for piece in pieces_of(tokens, cuts))
    two = chain(block_of(piece) for piece in pieces_of(others, cuts))
    same = [token.key for token in tokens] == [token.key for token in others]
    assert one.same_tokens(two) is two.same_tokens(one) is same


def test_an_id_is_not_mistaken_for_the_byte_of_that_number() -> None:
    # A checksum is short: two that are equal by chance are told apart by their tokens.
    number, byte = block_of([Token("a", -1.0, id=97)]), block("a")
    for parent in (Beam(), chain([block("b")])):
        one, two = parent.extend(number), parent.extend(byte)
        assert not one.same_tokens(two)  # siblings
        other = chain([block("b"), byte] if parent.length else [byte])
        for beam in (two, other):
            assert not one.same_tokens(attrs.evolve(beam, fingerprint=one.fingerprint))


def test_siblings_are_told_apart_by_their_last_blocks() -> None:
    parent = chain([block("a", "b")])
    assert parent.extend(block("c")).same_tokens(parent.extend(block("c")))
    assert not parent.extend(block("c")).same_tokens(parent.extend(block("d")))


# -- how it ends


@pytest.mark.parametrize(
    ("given_reason", "reason", "finished"),
    [
        ("length", "length", False),
        ("stop", "stop", True),
        ("content_filter", "content_filter", True),
    ],
)
def test_any_word_but_length_ends_it(given_reason: str, reason: str, *, finished: bool) -> None:
    beam = chain([block("a", reason=given_reason)])
    assert (beam.finish_reason, beam.finished, beam.ended) == (reason, finished, finished)


def test_a_block_without_a_token_that_did_not_end_means_a_full_context() -> None:
    beam = chain([block("a"), block()])
    assert (beam.finish_reason, beam.finished, beam.ended) == ("context", False, True)


def test_one_approximate_block_makes_the_beam_inexact_for_good() -> None:
    approximate = Continuation(tokens=(), data=b"", finish_reason="stop", exact=False)
    assert chain([block("a")]).exact
    assert not chain([block("a"), approximate, block("b")]).exact


# -- what it costs


class Untouchable:
    """Stands for an ancestor that must not be looked at."""

    def __getattribute__(self, name: str) -> object:
        raise AssertionError(f"an ancestor's {name} was read")


def without_ancestors(beam: Beam) -> Beam:
    return attrs.evolve(beam, parent=cast("Beam", Untouchable()))


def test_to_extend_a_beam_looks_at_none_of_its_ancestors() -> None:
    beam = without_ancestors(chain([block("a"), block("b")]))
    child = beam.extend(block("c"))
    assert child.parent is beam
    assert (child.length, child.logprob) == (3, -3.0)


def test_stop_strings_look_no_further_back_than_they_are_long() -> None:
    # With thinking, the whole text is looked at where a stop string is found.
    beam = without_ancestors(chain([block("a"), block("wxyz")])).replace(thinking="off")
    child = stop.extend(beam, block("!"), ["yz!!", "z!"])
    assert child.finish_reason == "stop"
    with pytest.raises(AssertionError, match="ancestor"):
        stop.extend(beam, block("?"), ["12345?"])


def test_a_long_stop_string_that_cannot_end_here_looks_back_not_at_all() -> None:
    beam = without_ancestors(chain([block("a"), block("wxyz")]))
    child = stop.extend(beam, block("?!"), ["yz?!" + "x" * 100_000, "a?" * 50_000 + "!!"])
    assert not child.finished


def test_to_compare_siblings_looks_at_none_of_their_ancestors() -> None:
    parent = without_ancestors(chain([block("a"), block("b")]))
    assert parent.extend(block("c")).same_tokens(parent.extend(block("c")))


def test_a_beam_holds_its_last_block_only() -> None:
    block_one, block_two = block("a", "b"), block("c")
    beam = chain([block_one, block_two])
    assert beam.continuation is block_two
    assert beam.fragment == "c"
    assert [one.continuation for one in beam.lineage()] == [block_one, block_two]


def test_a_very_long_chain_can_be_read_shown_and_thrown_away() -> None:
    # Far deeper than the interpreter's limit on recursion.
    beam = chain([block("a")] * DEPTH)
    assert beam.text == "a" * DEPTH
    assert len(beam.tokens) == len(beam.lineage()) == beam.length == DEPTH
    assert f"length={DEPTH}" in repr(beam)
    assert beam.same_tokens(chain([block(*"a" * DEPTH)]))
    first = weakref.ref(beam.lineage()[0])
    del beam
    gc.collect()
    assert first() is None
