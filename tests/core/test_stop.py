"""Stop strings end a beam where the first of them is complete, wherever the text is cut."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.core.builders import block, block_of, bytes_block, chain, pieces_of
from trio_beam.core import stop
from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation, Token


def grown(blocks: Sequence[Continuation], words: Sequence[str]) -> Beam:
    """The beam of these blocks, up to the one that ends it."""
    beam = Beam()
    for one in blocks:
        if not beam.ended:
            beam = stop.extend(beam, one, words)
    return beam


@pytest.mark.parametrize(
    ("blocks", "text", "tokens"),
    [
        pytest.param([block("a", "bENDc", "d")], "ab", 2, id="inside one token"),
        pytest.param([block("a", "bE", "N", "Dc", "d")], "ab", 4, id="across tokens"),
        pytest.param([block("a", "bE"), block("N"), block("Dc", "d")], "ab", 4, id="across blocks"),
        pytest.param([block("END", "a")], "", 1, id="at the beginning"),
        pytest.param([block("a"), block("END")], "a", 2, id="a whole block"),
        pytest.param([block("a", "END")], "a", 2, id="at the end"),
        pytest.param([block("a", "EN", "", "D", "")], "a", 4, id="around a token without text"),
        pytest.param([block("ENDEND")], "", 1, id="twice"),
        pytest.param([block("EN"), block("END")], "EN", 2, id="after a false start"),
    ],
)
def test_text_ends_before_the_stop_string_and_tokens_with_it(
    blocks: list[Continuation], text: str, tokens: int
) -> None:
    beam = grown(blocks, ["END"])
    assert (beam.text, beam.length, len(beam.tokens)) == (text, tokens, tokens)
    assert (beam.finish_reason, beam.finished, beam.ended) == ("stop", True, True)
    assert beam.logprob == -float(tokens)


@pytest.mark.parametrize("words", [(), ("END",), ("ENDS", "x")])
def test_text_without_a_stop_string_is_left_alone(words: tuple[str, ...]) -> None:
    blocks = [block("a", "E"), block("N"), block("d")]
    beam, plain = grown(blocks, words), chain(blocks)
    assert (beam.text, beam.tokens, beam.finish_reason) == (plain.text, plain.tokens, "length")


def test_the_models_own_end_stays_where_no_stop_string_comes_first() -> None:
    assert (
        grown([block("a", "b", reason="content_filter")], ["END"]).finish_reason == "content_filter"
    )
    assert grown([block("aENDb", reason="content_filter")], ["END"]).finish_reason == "stop"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["END", "b"], "a"),  # the one that comes first
        (["bEN", "abEND"], "a"),  # the one that is complete first, though another began before
        (["N", "EN", "bEN"], "a"),  # complete at the same place: the longest
        (["D", "zzz"], "abEN"),
    ],
)
@pytest.mark.parametrize("pieces", [["abENDc"], ["a", "b", "E", "N", "D", "c"]])
def test_of_several_the_first_to_be_complete(
    words: list[str], text: str, pieces: list[str]
) -> None:
    assert grown([block(*pieces)], words).text == text
    assert grown([block(piece) for piece in pieces], words).text == text


def test_what_was_generated_behind_it_is_still_counted() -> None:
    given_block = attrs.evolve(block("a", "END", "b", "c"), generated=6)
    (last,) = grown([given_block], ["END"]).lineage()
    assert last.continuation is not None
    assert len(last.continuation.tokens) == 2
    assert last.continuation.generated == 6


def test_tokens_that_do_not_spell_the_text_all_stay() -> None:
    # Then nobody can say which of them completes the stop string.
    mute = Continuation(tokens=(Token("", -1.0, 1), Token("", -1.0, 2)), data=b"aENDb")
    beam = grown([mute], ["END"])
    assert (beam.text, beam.length, beam.finish_reason) == ("a", 2, "stop")


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(["\ufffd", "\ufffd", "END", "b"], id="parts of a character shown as such"),
        pytest.param(["<s>", "é", "END", "b"], id="a token that is not a part of the text"),
        pytest.param(["é", "EN"], id="too few"),
    ],
)
def test_text_is_the_servers_where_the_tokens_do_not_spell_it(pieces: list[str]) -> None:
    tokens = tuple(Token(piece, -1.0) for piece in pieces)
    one = Continuation(tokens=tokens, data="éENDb".encode())
    assert grown([one], ["END"]).text == "é"
    assert grown([block("E"), one], ["END"]).text == "Eé"


@pytest.mark.parametrize("cut", range(1, len("漢🙂".encode())))
def test_a_stop_string_of_split_characters(cut: int) -> None:
    data = "漢🙂".encode()
    beam = grown([bytes_block(b"a", data[:cut]), bytes_block(data[cut:], b"b")], ["漢🙂"])
    assert (beam.text, beam.length, beam.finish_reason) == ("a", 3, "stop")


def test_half_a_character_behind_it_leaves_nothing() -> None:
    beam = grown([bytes_block(b"aEND\xe6\xbc", b"\xa2")], ["END"])
    assert (beam.text, beam.length) == ("a", 1)


@pytest.mark.parametrize(
    "blocks",
    [
        pytest.param([bytes_block(b"\xff", b"END", b"b")], id="a byte of no character"),
        pytest.param([bytes_block(b"\xf0\x9f"), bytes_block(b"END", b"b")], id="half a character"),
    ],
)
def test_broken_bytes_before_it_keep_no_tokens_behind_it(blocks: list[Continuation]) -> None:
    # A replacement character is three bytes long, whatever it stands for.
    beam = grown(blocks, ["END"])
    assert beam.text == "\ufffd"
    assert beam.length == 2


PIECES = st.lists(st.sampled_from(["a", "b", "ab", "ba", "é", "漢a", ""]), max_size=10)
WORDS = st.lists(st.text("abé", min_size=1, max_size=4), min_size=1, max_size=3)


@given(pieces=PIECES, words=WORDS, cuts=st.lists(st.integers(1, 9), max_size=5))
@example(pieces=["a", "b", "ab"], words=["bab", "ba"], cuts=[1, 2])
def test_as_a_naive_reading_of_the_whole_text(
    pieces: list[str], words: list[str], cuts: list[int]
) -> None:
    tokens = [Token(piece, -1.0) for piece in pieces]
    beam = grown([block_of(part) for part in pieces_of(tokens, cuts)], words)
    text, count = naive(pieces, words)
    assert (beam.text, beam.length) == (text, count)
    assert beam.tokens == tuple(tokens[:count])
    assert beam.ended is any(word in "".join(pieces) for word in words)


def naive(pieces: Sequence[str], words: Sequence[str]) -> tuple[str, int]:
    """(the text, the number of tokens that stay)."""
    whole = "".join(pieces)
    for end in range(len(whole) + 1):
        found = [word for word in words if whole[:end].endswith(word)]
        if found:
            text = whole[: end - max(map(len, found))]
            return text, next(n for n in range(99) if len("".join(pieces[:n])) >= end)
    return whole, len(pieces)
