"""llama.cpp leaves out the tokens inside a character, and shows a cut one as U+FFFD.

The text route cannot ask for what is missing, so such a block must say that it is not exact.
"""

from __future__ import annotations

import pytest

from tests.dialects.replay import Replayed, ask, capture, encode, only, prepared, read, replay, sent
from trio_beam.core.beam import Beam
from trio_beam.dialects.common.exchange import ExchangeResult
from trio_beam.errors import LogprobsUnavailable

CUT = "xllamacpp__completions_utf8_mt1"


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
    with pytest.raises(LogprobsUnavailable, match="ends inside its first character"):
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


def next_tokens(*answers: bytes) -> Replayed[ExchangeResult]:
    """Ask for the two most probable next tokens."""
    dialect = capture(CUT).dialect()
    request = capture(CUT).request(n=2, enumerate=True, top_logprobs=0)
    return replay(dialect.enumerate(prepared(dialect, "p"), request), *answers)


def test_next_tokens_are_shown_by_another_sample_than_a_cut_character() -> None:
    cut = capture(CUT)
    whole = capture("xllamacpp__completions_logprobs").answer()
    choice = whole["choices"][0]
    choice["text"] = ","
    choice["logprobs"]["content"] = choice["logprobs"]["content"][:1]
    found = next_tokens(cut.body, cut.body, encode(whole))
    assert [block.data for block in found.value.continuations] == [b",", b" in"]
    assert [sent(request)["seed"] for request in found.requests] == [7, 8, 9]
    # All three are paid for.
    assert found.value.extra_generated == 3
    assert found.value.prompt_tokens == 3 * whole["usage"]["prompt_tokens"]


def test_next_tokens_that_no_sample_shows() -> None:
    with pytest.raises(LogprobsUnavailable, match="sampled 8 times"):
        next_tokens(*[capture(CUT).body] * 8)
