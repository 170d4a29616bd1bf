"""A step ends with the token that completes its delimiter, wherever tokens and blocks are cut."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.builders import block, block_of, bytes_block, chain
from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation, Token
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.delimiters import Steps
from trio_beam.core.reasoning import Thinking
from trio_beam.errors import ConfigError
from trio_beam.strategies import make_strategy


def one(token: bytes, logprob: float = -1.0) -> Token:
    return Token(token.decode("utf-8", "replace"), logprob, bytes=token)


def blocks_of(tokens: Sequence[Token], steps: Steps, tokens_per_step: int) -> list[Continuation]:
    """The blocks of a text whose model always goes on with the same tokens, and then ends."""
    beam = Beam()
    while not beam.ended:
        rest = tokens[beam.length : beam.length + tokens_per_step]
        last = beam.length + len(rest) == len(tokens)
        beam = beam.extend(steps.cut(beam, block_of(rest, "stop" if last else "length")))
    return [node.continuation for node in beam.lineage() if node.continuation is not None]


def texts_of(tokens: Sequence[str], steps: Steps, tokens_per_step: int = 99) -> list[str]:
    blocks = blocks_of([one(token.encode()) for token in tokens], steps, tokens_per_step)
    return [block.data.decode() for block in blocks]


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        pytest.param(["a", "\n\n", "b"], ["a\n\n", "b"], id="a token"),
        pytest.param(["a", "\n", "\n", "b"], ["a\n\n", "b"], id="across tokens"),
        pytest.param(["a\n\nb", "c"], ["a\n\nb", "c"], id="inside a token, which stays whole"),
        pytest.param(["\n\n", "\n\n", "b"], ["\n\n", "\n\n", "b"], id="twice"),
        pytest.param(
            ["a", "\n\n\n", "\n", "b"], ["a\n\n\n", "\nb"], id="no part of two delimiters"
        ),
        pytest.param(["a", "\n", "b"], ["a\nb"], id="only begun"),
        pytest.param(["a", "\n\n"], ["a\n\n", ""], id="before the end of the text"),
    ],
)
def test_a_step_ends_with_the_token_that_completes_the_delimiter(
    tokens: list[str], expected: list[str]
) -> None:
    assert texts_of(tokens, Steps()) == expected


def test_the_delimiter_may_have_begun_in_an_earlier_block_of_the_step() -> None:
    assert texts_of(["a", "\n", "\n", "b"], Steps(), 2) == ["a\n", "\n", "b"]
    assert texts_of(["a", "#", "#", "#", "b"], Steps("###"), 1) == ["a", "#", "#", "#", "b"]
    assert texts_of(["#", "#", "#", "#", "b", "c"], Steps("##"), 3) == ["##", "##", "bc"]


def test_any_of_several_delimiters_ends_a_step() -> None:
    steps = Steps(delimiter=["。", "!", "।"])
    assert texts_of(["好", "。", "x", "!", "अ", "।", "y"], steps) == ["好。", "x!", "अ।", "y"]


def test_a_delimiter_that_is_complete_too_early_does_not_end_a_step() -> None:
    steps = Steps("\n", min_tokens=3)
    assert texts_of(["\n", "\n", "a", "\n", "b"], steps) == ["\n\na\n", "b"]
    assert texts_of(["\n", "\n", "\n", "b"], steps) == ["\n\n\n", "b"]


def test_the_kept_tokens_keep_ids_log_probabilities_and_all_that_was_generated() -> None:
    tokens = [Token(text, -0.5 * n, n, text.encode()) for n, text in enumerate(["a", "\n", "b"], 1)]
    given_block = attrs.evolve(block_of(tokens, "stop"), generated=5, proposal=[-1.0, -2.0, -3.0])
    kept = Steps("\n").cut(Beam(), given_block)
    assert (kept.tokens, kept.keys, kept.logprob) == (tuple(tokens[:2]), [1, 2], -1.5)
    assert (kept.proposal, kept.generated, kept.exact) == ([-1.0, -2.0], 5, True)
    assert (kept.finish_reason, kept.ends_step) == ("length", True)


def test_an_end_of_the_text_behind_the_delimiter_is_sampled_anew() -> None:
    # Keeping it whenever it was sampled, and sampling anew whenever not, would end too many texts.
    ended = block_of([one(b"a"), one(b"\n"), Token("", -3.0, 0, b"")], "stop")
    assert Steps("\n").cut(Beam(), ended).finish_reason == "length"
    assert Steps("\n").cut(Beam(), block("a", "\n", reason="stop")).finish_reason == "length"
    assert Steps("\n").cut(Beam(), block("a", "\n", reason="context")).finish_reason == "context"
    assert (
        Steps("\n").cut(Beam(), block("a", "\n", "b", reason="context")).finish_reason == "length"
    )


@pytest.mark.parametrize(
    ("pieces", "data", "kept", "text"),
    [
        pytest.param(["\ufffd", "\ufffd", "\n", "b"], "é\nb", 3, "é\n", id="before the delimiter"),
        pytest.param(["a", "\n", "\ufffd", "\ufffd"], "a\né", 2, "a\n", id="behind the delimiter"),
        pytest.param(["?", "\n", "?", "b"], "é\néb", 3, "é\né", id="on both sides"),
        pytest.param(["?", "?"], "é\n", 2, "é\n", id="everywhere"),
    ],
)
def test_tokens_that_do_not_spell_the_text_are_cut_where_their_place_is_known(
    pieces: list[str], data: str, kept: int, text: str
) -> None:
    tokens = tuple(Token(piece, -1.0) for piece in pieces)
    cut = Steps("\n").cut(Beam(), Continuation(tokens=tokens, data=data.encode()))
    assert (len(cut), cut.data.decode()) == (kept, text)


def test_different_characters_stay_different_where_tokens_show_no_parts_of_them() -> None:
    def cut(character: str) -> Beam:
        tokens = tuple(Token(piece, -1.0) for piece in ["\ufffd", "\ufffd", "\n", "x"])
        data = f"{character}\nx".encode()
        return Beam().extend(Steps("\n").cut(Beam(), Continuation(tokens=tokens, data=data)))

    assert not cut("é").same_tokens(cut("ß"))


SCRIPTS = "ab\n.é。।ا🙂한"
WORDS = st.lists(st.text(SCRIPTS, min_size=1, max_size=3), min_size=1, max_size=3)


@given(
    text=st.text(SCRIPTS, max_size=24),
    cuts=st.sets(st.integers(1, 90)),
    words=WORDS,
    min_tokens=st.integers(1, 3),
    tokens_per_step=st.integers(3, 12),
)
def test_as_a_naive_reading_of_the_whole_text(
    text: str, cuts: set[int], words: list[str], min_tokens: int, tokens_per_step: int
) -> None:
    data = text.encode()
    places = sorted(
        {0, len(data), *(cut for cut in cuts if cut < len(data))}
    )  # inside characters too
    tokens = [one(data[a:b], -0.25 * a) for a, b in pairwise(places)]
    blocks = blocks_of(tokens, Steps(words, min_tokens), tokens_per_step)
    expected = naive(text, places[1:], words, min_tokens, tokens_per_step)
    assert [len(block) for block in blocks] == expected
    assert [token for block in blocks for token in block.tokens] == tokens
    assert b"".join(block.data for block in blocks) == data
    assert chain(blocks).logprob == sum(token.logprob for token in tokens)


def naive(
    text: str, ends: list[int], words: list[str], min_tokens: int, tokens_per_step: int
) -> list[int]:
    """The number of tokens of each block, from the delimiters of the whole text, in bytes."""
    offset = [len(text[:n].encode()) for n in range(len(text) + 1)]
    found = [
        (offset[start], offset[start + len(word)])
        for word in words
        for start in range(len(text))
        if text.startswith(word, start)
    ]
    lengths, count, before, step = list[int](), 0, 0, 0
    for end in ends:
        count += 1
        complete = any(start >= step and before < stop <= end for start, stop in found)
        before = end
        if complete and count >= min_tokens:
            step = end
        elif count < tokens_per_step:
            continue
        lengths.append(count)
        count = 0
    # The text ends in its last block, or, behind a delimiter, in an empty one.
    if count:
        return [*lengths, count]
    return [*lengths, 0] if not ends or step == ends[-1] else lengths


def test_half_a_character_behind_the_delimiter_belongs_to_the_step() -> None:
    beam = Beam().extend(Steps("\n").cut(Beam(), bytes_block(b"a\n\xe6", b"\xbc", b"\xa2")))
    assert (beam.length, beam.pending) == (1, b"\xe6")
    assert beam.extend(bytes_block(b"\xbc\xa2")).text == "a\n漢"


def test_a_preset_of_one_block_has_no_steps() -> None:
    for others in ({"block": "steps"}, {"steps": True}, {"steps_delimiter": "\n"}):
        with pytest.raises(ConfigError, match="has no effect here: the strategy sets"):
            make_strategy("best_of_n", others)
    for name, value in (("block", "steps"), ("steps", True)):
        with pytest.raises(ConfigError, match=f"{name} has no effect here"):
            make_strategy("beam_search", {name: value, "tokens_per_step": 1})


def test_steps_are_given_by_name_or_by_their_own_parameters() -> None:
    for values in ({"block": "steps"}, {"steps": True}):
        assert make_strategy("beam_search", values) == BeamSearchConfig(block="steps")
    assert make_strategy("beam_search", {"steps": False}) == BeamSearchConfig()
    made = make_strategy("beam_search", {"steps": True, "steps_delimiter": (".",)})
    assert made == BeamSearchConfig(block=Steps("."))
    with pytest.raises(ConfigError, match="steps_delimiter has no effect here"):
        make_strategy("beam_search", {"steps": False, "steps_delimiter": (".",)})
    made = make_strategy("beam_search", {"steps_delimiter": ("\n", "."), "steps_min_tokens": 2})
    assert made == BeamSearchConfig(block=Steps(("\n", "."), 2))
    assert BeamSearchConfig(block="steps").block_part == Steps("\n\n")


@pytest.mark.parametrize(
    ("tokens", "thinking", "expected"),
    [
        (
            ["<think>", "a", "\n\n", "b", "</think>", "\n\n", "c", "\n\n", "d"],
            "auto",
            ["<think>a\n\nb</think>\n\nc\n\n", "d"],
        ),
        (["a", "\n\n", "</think>", "c", "\n\n", "d"], "opened", ["a\n\n</think>c\n\n", "d"]),
        (["a", "\n\n", "b"], "opened", ["a\n\nb"]),
        (["<think>", "a", "\n\n", "b"], "off", ["<think>a\n\n", "b"]),
    ],
)
@given(tokens_per_step=st.integers(1, 9))
def test_thinking_has_no_steps(
    tokens: list[str], thinking: Thinking, expected: list[str], tokens_per_step: int
) -> None:
    """Wherever the blocks are cut, the steps of the answer end at the same tokens."""
    beam, steps, ends = Beam(thinking=thinking), Steps(), []
    while beam.length < len(tokens):
        rest = [one(token.encode()) for token in tokens[beam.length :][:tokens_per_step]]
        cut = steps.cut(beam, block_of(rest))
        beam = beam.extend(cut)
        if cut.ends_step:
            ends.append(len(beam.full_text))
    wanted = list(accumulate(map(len, expected)))[:-1]
    assert ends == wanted
