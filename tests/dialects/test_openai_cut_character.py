"""llama.cpp leaves out the tokens inside a character, and shows a cut one as U+FFFD.

The text route cannot ask for what is missing, so such a block must say that it is not exact.
"""

from __future__ import annotations

import pytest

from tests.dialects.replay import ask, capture, encode, only, read
from trio_beam.core.beam import Beam
from trio_beam.errors import LogprobsUnavailable


@pytest.mark.parametrize(
    ("case", "generated"),
    [("xllamacpp__completions_utf8_mt5", 5), ("xllamacpp__completions_utf8_mt6", 6)],
)
def test_a_cut_character_leaves_the_text(case: str, generated: int) -> None:
    continuation = only(read(case))
    assert continuation.data == "漢字".encode()
    assert not continuation.exact
    assert continuation.generated == generated
    assert "\ufffd" not in Beam().extend(continuation).text


@pytest.mark.parametrize(
    "case", ["xllamacpp__completions_utf8_mt1", "xllamacpp__completions_utf8_mt2"]
)
def test_a_block_of_nothing_but_a_cut_character(case: str) -> None:
    with pytest.raises(LogprobsUnavailable):
        read(case)


@pytest.mark.parametrize(
    ("case", "text", "generated"),
    [
        ("xllamacpp__completions_utf8_mt3", "漢", 3),
        ("xllamacpp__completions_utf8_mt4", "漢字", 4),
        ("xllamacpp__completions_utf8_mt7", "漢字🦜", 7),
    ],
)
def test_a_whole_character_of_silent_tokens(case: str, text: str, generated: int) -> None:
    continuation = only(read(case))
    assert continuation.data == text.encode()
    assert continuation.generated == generated
    assert len(continuation.tokens) < generated


@pytest.mark.parametrize(
    "case",
    [
        "xllamacpp__completions_utf8_mt3",
        "xllamacpp__completions_utf8_mt4",
        "xllamacpp__completions_utf8_mt7",
    ],
)
def test_missing_log_probabilities_are_not_exact(case: str) -> None:
    """Two or more of the sum's terms are missing, so the block scores too high."""
    assert not only(read(case)).exact


def test_missing_log_probabilities_are_not_exact_at_an_end() -> None:
    recorded = capture("xllamacpp__completions_utf8_mt4")
    answer = recorded.answer()
    answer["choices"][0]["finish_reason"] = "stop"
    assert not only(ask(recorded, encode(answer)).value).exact


def test_missing_log_probabilities_are_not_exact_in_any_choice() -> None:
    """The server counts the first choice alone; the others end short of what was asked for."""
    recorded = capture("xllamacpp__completions_utf8_mt3")
    answer = recorded.answer()
    answer["choices"].append(answer["choices"][0] | {"index": 1})
    continuations = ask(recorded, encode(answer), n=2).value.continuations
    assert [continuation.exact for continuation in continuations] == [False, False]


def test_a_character_that_the_model_wrote_stays() -> None:
    """U+FFFD with its own bytes is a character like others."""
    recorded = capture("xllamacpp__completions_logprobs")
    answer = recorded.answer()
    choice = answer["choices"][0]
    choice["text"] += "\ufffd"
    last = {"token": "\ufffd", "bytes": [0xEF, 0xBF, 0xBD], "logprob": -3.0, "top_logprobs": []}
    choice["logprobs"]["content"].append(last)
    continuation = only(ask(recorded, encode(answer)).value)
    assert continuation.data.decode() == ", I've\ufffd"
    assert continuation.exact
