"""Servers that stop at a delimiter themselves: the block is the one that our own cut would give.

vLLM's response is a recorded one to stop strings. llama.cpp's events are those that b11549 sent for them,
shortened; `tests/e2e/test_real_steps.py` compares whole searches on it.
"""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from tests.dialects.replay import Replayed, capture, encode, only, prepared, replay, sent
from tests.dialects.streams import stream_of
from trio_beam.core.beam import Beam
from trio_beam.core.delimiters import Steps
from trio_beam.core.language_model import SampleRequest
from trio_beam.dialects.common.dialect import Dialect
from trio_beam.dialects.common.exchange import ExchangeResult
from trio_beam.dialects.common.limits import Limits
from trio_beam.dialects.llama_cpp import LlamaCpp
from trio_beam.dialects.vllm import VLLM

REQUEST = SampleRequest(
    beam=Beam(), n=1, max_tokens=30, temperature=1.0, top_logprobs=0, seed=7, delimiters=("\n\n",)
)
PLAIN = 64
TOKENIZED = encode({"tokens": [PLAIN]})


def test_vllm_is_asked_to_stop_and_the_beam_goes_on() -> None:
    recorded = capture("vllm__completions_stop")
    request = attrs.evolve(REQUEST, delimiters=("\n",))
    answer = recorded.answer()
    # Recorded without this field, which changes the text alone.
    answer["choices"][0]["text"] += "\n"
    dialect = recorded.vllm()
    replayed = replay(dialect.sample(prepared(dialect, recorded.prompt()), request), encode(answer))
    body = sent(replayed.requests[0])
    assert (body["stop"], body["include_stop_str_in_output"]) == (["\n"], True)
    block = only(replayed.value)
    assert (block.data, block.finish_reason, block.exact) == (b" 1+1=\n", "length", True)
    assert [token.id for token in block.tokens] == [216, 33, 27, 33, 45, 198]
    assert block.logprob == pytest.approx(-6.0808, abs=1e-4)
    cut = Steps("\n").cut(Beam(), block)
    assert (len(cut), cut.ends_step, cut.finish_reason) == (6, True, "length")


def test_vllm_spells_a_token_that_goes_on_behind_the_delimiter() -> None:
    recorded = capture("vllm__completions_stop_midtoken")
    answer = recorded.answer()
    answer["choices"][0]["text"] += "untai"
    request = attrs.evolve(REQUEST, delimiters=("untai",))
    dialect = recorded.vllm()
    spelt = [{"prompt": "Once"}, {"prompt": "Once town nestled between two mountains"}]
    replayed = replay(
        dialect.sample(prepared(dialect, recorded.prompt()), request),
        *map(encode, [answer, *spelt]),
    )
    block = only(replayed.value)
    assert (block.data, len(block)) == (b" town nestled between two mountains", 5)
    assert [one.path for one in replayed.requests[1:]] == ["/detokenize", "/detokenize"]


def test_nothing_is_asked_of_a_server_without_delimiters() -> None:
    for kind in (VLLM, LlamaCpp):
        dialect = kind("smol", "auto", Limits())
        wire = next(dialect.sample(prepared(dialect, "x"), attrs.evolve(REQUEST, delimiters=())))
        assert not {"stop", "include_stop_str_in_output", "stream"} & sent(wire).keys()


# -- llama.cpp


def events(shown: list[tuple[int, str]], stop_type: str, **more: Any) -> bytes:
    """A stream of tokens, each with the text that it is shown with."""
    found: list[dict[str, Any]] = []
    for number, text in shown:
        entry = {"id": number, "token": text, "bytes": [*text.encode()], "logprob": -0.5 * number}
        found.append({"index": 0, "tokens": [number], "completion_probabilities": [entry]})
    end = {"index": 0, "tokens": [], "stop": True, "stop_type": stop_type, "truncated": False}
    return stream_of([*found, end | {"tokens_predicted": len(shown), "tokens_evaluated": 3} | more])


def forced(number: int, text: str | None) -> bytes:
    """The answer to a forced token; None: a part of a character, which is not shown."""
    shown = text or ""
    entry = {"id": number, "token": shown, "bytes": [*shown.encode()], "logprob": -1.0}
    entries = [] if text is None else [entry]
    return encode({"tokens": [number], "completion_probabilities": entries})


def sample(*answers: bytes, dialect: Dialect | None = None) -> Replayed[ExchangeResult]:
    dialect = dialect or LlamaCpp("smol", "auto", Limits())
    return replay(dialect.sample(prepared(dialect, "x"), REQUEST), *answers)


def test_llama_cpp_shows_less_of_the_token_that_completes_a_delimiter() -> None:
    stream = events([(1, "a"), (2, "b")], "word")  # the last one is "b\n\nc"
    replayed = sample(stream, TOKENIZED, forced(2, "b\n\nc"))
    asked = sent(replayed.requests[0])
    assert (asked["stop"], asked["stream"]) == (["\n\n"], True)
    block = only(replayed.value)
    assert [token.text for token in block.tokens] == ["a", "b\n\nc"]
    assert (block.data, block.finish_reason, block.logprob) == (b"ab\n\nc", "length", -1.5)
    assert replayed.value.extra_generated == 1


def test_llama_cpp_shows_a_held_back_token_with_the_next_one() -> None:
    stream = events([(1, "a"), (2, ""), (3, "\nb"), (2, ""), (2, "")], "word")
    block = only(sample(stream, TOKENIZED, forced(2, "\n")).value)
    assert [token.bytes for token in block.tokens] == [b"a", b"\n", b"b", b"\n", b"\n"]
    assert block.data == b"a\nb\n\n"


def test_a_text_held_back_where_the_block_was_full_is_restored() -> None:
    block = only(sample(events([(1, "a"), (2, "")], "limit"), TOKENIZED, forced(2, "\n")).value)
    assert (block.data, block.finish_reason) == (b"a\n", "context")  # 2 of 30 tokens


def test_a_control_token_and_an_end_show_nothing_and_are_nothing() -> None:
    stream = events([(1, "a"), (9, ""), (3, "b"), (0, "")], "eos")
    block = only(sample(stream, TOKENIZED, forced(9, "")).value)
    assert (block.data, len(block), block.finish_reason) == (b"ab", 4, "stop")


def test_a_spelling_is_asked_for_once() -> None:
    dialect = LlamaCpp("smol", "auto", Limits())
    stream = events([(1, "a"), (2, "")], "word")
    sample(stream, TOKENIZED, forced(2, "\n\n"), dialect=dialect)
    assert only(sample(stream, dialect=dialect).value).data == b"a\n\n"


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([events([(1, "a")], "limit", tokens_predicted=3)], id="tokens left out"),
        pytest.param(
            [events([(2, "")], "word"), TOKENIZED, forced(2, None)], id="a part of a character"
        ),
        pytest.param(
            [events([(2, ""), (3, "b")], "limit"), TOKENIZED, forced(2, "\n")], id="no such text"
        ),
    ],
)
def test_what_cannot_be_restored_is_sampled_again_without_delimiters(answers: list[bytes]) -> None:
    dialect = LlamaCpp("smol", "auto", Limits())
    entry = {"id": 1, "token": "a", "bytes": [97], "logprob": -1.0}
    whole = encode({"tokens": [1], "completion_probabilities": [entry], "stop_type": "eos"})
    replayed = sample(*answers, whole, dialect=dialect)
    again = sent(replayed.requests[-1])
    assert again["seed"] == sent(replayed.requests[0])["seed"] == 7
    assert not {"stop", "stream"} & again.keys()
    assert only(replayed.value).data == b"a"
    # And it is not tried again.
    assert not {"stop", "stream"} & sent(sample(whole, dialect=dialect).requests[0]).keys()
