"""Every recorded answer is parsed to the tokens, ids, bytes and scores that it holds.

What it holds is read a second time by `plain`, with nothing but json. A new recording is expected to be
whole and exact, unless one of the tables below says what is wrong with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.dialects.plain import check_same, choices_of, usage_of
from tests.dialects.replay import ask, capture, captures, completed, drive, encode, prepared, sent
from trio_beam.dialects.common.encoding import decoder_of
from trio_beam.dialects.common.exchange import ModelList
from trio_beam.dialects.llama_cpp_wire import decode_template, decode_tokens
from trio_beam.errors import LogprobsUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_beam.dialects.common.exchange import WireRequest

_NOT_ASKED = "they were not asked for"
_NEVER = "the server has none"
_ECHO = "the prompt comes back with it, and its first token has none"
_CUT = "llama.cpp has none for a character that is not complete"
#: No search can use them.
WITHOUT_LOGPROBS = {
    "llamacpppython0260__chat_n2": _NOT_ASKED,
    "llamacpppython0260__chat_prefill": _NOT_ASKED,
    "llamacpppython0260__completions_echo": _ECHO,
    "llamacpppython0260__err_bad_model": _NOT_ASKED,
    "transformersserve__chat_logprobs": _NEVER,
    "transformersserve__chat_prefill": _NEVER,
    "transformersserve__chat_stream": _NEVER,
    "transformersserve__completions_basic": _NEVER,
    "transformersserve__completions_logprobs": _NEVER,
    "transformersserve__completions_n2": _NEVER,
    "transformersserve__completions_seed": _NEVER,
    "transformersserve__completions_stop": _NEVER,
    "vllm__chat_prefill_default": _NOT_ASKED,
    "vllm__completions_echo": _ECHO,
    "vllm__completions_echo_mt0": _ECHO,
    "vllm__completions_prompt_logprobs": _NOT_ASKED,
    "vllm__err_ctx_plus_max_tokens": _NOT_ASKED,
    "vllm__err_no_model": _NOT_ASKED,
    "vllm__err_unknown_field": _NOT_ASKED,
    "vllm__rescoring_echo_mt0": _ECHO,
    "xllamacpp__chat_prefill_explicit": _NOT_ASKED,
    "xllamacpp__completions_logprobs_0": "0 are none",
    "xllamacpp__completions_mixed_prompt": _NOT_ASKED,
    "xllamacpp__completions_post_sampling_1.0": "they are probabilities, of what is left by samplers",
    "xllamacpp__completions_return_tokens": _NOT_ASKED,
    "xllamacpp__completions_stop_midtoken2": "a stop string took them away; a search sends none",
    "xllamacpp__completions_utf8_mt1": _CUT,
    "xllamacpp__completions_utf8_mt2": _CUT,
    "xllamacpp__err_bad_model": _NOT_ASKED,
    "xllamacpp__err_no_model": _NOT_ASKED,
    "xllamacpp__err_unknown_field": _NOT_ASKED,
}
_HIDDEN = "tokens inside a character have no entry"
_PARTS = "the bytes of a character that is cut are in no text"
_STOPPED = "a stop string cut the text; a search sends none"
#: Read, and marked as not exact. So is what continues a text.
INEXACT = {
    "vllm__chat_utf8": _PARTS,
    "vllm__completions_stop_midtoken": _STOPPED,
    "vllm__completions_tokens_as_ids": "numbers in the place of texts",
    "vllm__completions_utf8_tokids": "numbers in the place of texts",
    "xllamacpp__completions_stop": _STOPPED,
    "xllamacpp__completions_utf8_mt3": _HIDDEN,
    "xllamacpp__completions_utf8_mt4": _HIDDEN,
    "xllamacpp__completions_utf8_mt5": _HIDDEN,
    "xllamacpp__completions_utf8_mt6": _HIDDEN,
    "xllamacpp__completions_utf8_mt7": _HIDDEN,
    "xllamacpp__err_ctx_plus_max_tokens": "fewer tokens than there was room for",
    "xllamacpp__stream_utf8": _HIDDEN,
}
#: llama.cpp sends the assistant's text back in front of what it added.
ECHOED = {"xllamacpp__chat_prefill", "xllamacpp__chat_prefill_trailing_space"}
#: The places of tokens whose log-probabilities have to be asked for again.
HIDDEN = {
    "xllamacpp__native_utf8_mt1": [0],
    "xllamacpp__native_utf8_mt2": [0, 1],
    "xllamacpp__native_utf8_mt3": [0, 1],
    "xllamacpp__native_utf8_mt4": [0, 1],
    "xllamacpp__native_utf8_mt5": [0, 1, 4],
    "xllamacpp__native_utf8_mt6": [0, 1, 4, 5],
    "xllamacpp__native_utf8_mt7": [0, 1, 4, 5],
}
#: A stream with hidden tokens has to be asked for again: see `test_streams`.
ASKED_AGAIN = {"xllamacpp__native_stream_utf8"}
PLAIN = 253

COMPLETED = completed(stream=False) + completed(stream=True)
TABLES = [set(WITHOUT_LOGPROBS), set(INEXACT), set(HIDDEN), ASKED_AGAIN]
READ = sorted(set(COMPLETED) - set(WITHOUT_LOGPROBS) - set(HIDDEN) - ASKED_AGAIN)


def test_the_tables_are_of_recordings_and_each_is_in_one() -> None:
    named = [case for table in TABLES for case in table]
    assert set(named) <= set(COMPLETED)
    assert len(named) == len(set(named))
    assert READ


@pytest.mark.parametrize("case", READ)
def test_an_answer_is_what_it_holds(case: str) -> None:
    recorded = capture(case)
    beam = recorded.beam()
    plain = choices_of(recorded)
    answer = ask(recorded, n=len(plain)).value
    for found, expected in zip(answer.continuations, plain, strict=True):
        text = expected.text.removeprefix(beam.text) if case in ECHOED else expected.text
        check_same(found, expected._replace(text=text))
        assert found.data.decode() == text.rstrip("\ufffd")  # which stands for what was cut
        assert found.exact == (case not in INEXACT and beam.continuation is None)
    prompt, generated = usage_of(recorded)
    assert answer.prompt_tokens == prompt
    assert answer.extra_generated == 0
    if len(plain) == 1 and generated is not None:
        assert answer.continuations[0].generated == generated
    else:
        assert [c.generated for c in answer.continuations] == [len(c.tokens) for c in plain]


@pytest.mark.parametrize("case", WITHOUT_LOGPROBS)
def test_an_answer_that_cannot_be_scored(case: str) -> None:
    with pytest.raises(LogprobsUnavailable):
        ask(capture(case))


def _bytes_of_tokens() -> dict[int, bytes]:
    pieces = capture("xllamacpp__tokenize_bytes_pieces").answer()["tokens"]
    known = {piece["id"]: bytes(piece["piece"]) for piece in pieces}
    return known | {36518: "字".encode()}


@pytest.mark.parametrize("case", HIDDEN)
def test_what_is_hidden_is_asked_for_and_put_in(case: str) -> None:
    """The server's answers to that are made up; the rest is as recorded."""
    recorded = capture(case)
    answer = recorded.answer()
    ids, known = answer["tokens"], _bytes_of_tokens()
    repairs: list[int] = []

    def server(request: WireRequest[Any]) -> bytes:
        if request.path == "/tokenize":
            return encode({"tokens": [PLAIN]})
        body = sent(request)
        if "logit_bias" not in body:
            return recorded.body
        repairs.append(len(body["prompt"]) - 1)
        assert body["prompt"] == [recorded.asked["prompt"], *ids[: repairs[-1]]]
        hidden = ids[repairs[-1]]
        top = {"id": hidden, "token": "\ufffd", "bytes": [*known[hidden]], "logprob": -8.0}
        forced = {"id": PLAIN, "token": "a", "bytes": [97], "logprob": -9.0, "top_logprobs": [top]}
        return encode({"tokens": [PLAIN], "completion_probabilities": [forced]})

    dialect = recorded.dialect()
    exchange = dialect.sample(prepared(dialect, recorded.prompt()), recorded.request())
    value = drive(exchange, server).value
    (found,) = value.continuations
    assert repairs == HIDDEN[case]
    shown = iter(answer.get("completion_probabilities", []))
    logprobs = [-8.0 if at in repairs else next(shown)["logprob"] for at in range(len(ids))]
    assert [token.logprob for token in found.tokens] == logprobs
    assert [token.id for token in found.tokens] == ids
    assert [token.bytes for token in found.tokens] == [known[number] for number in ids]
    assert found.data == b"".join(known[number] for number in ids)
    assert found.data.decode(errors="ignore") == answer["content"].rstrip("\ufffd")
    assert found.exact
    assert value.extra_generated == len(repairs)
    assert value.prompt_tokens == answer["tokens_evaluated"]


def _ids(body: bytes) -> Any:
    return decode_tokens(body).tokens


def _template(body: bytes) -> Any:
    return decode_template(body).prompt


def _models(body: bytes) -> Any:
    return [(row.id, row.owned_by) for row in decoder_of(ModelList)(body).data]


_CHAT = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n<|im_start|>user\nWhat is 2+3? Answer briefly.<|im_end|>\n<|im_start|>assistant\n"
)
_CHAT_IDS = capture("vllm__completions_eos").asked["prompt"]
#: What is no completion: what reads it, and what must come of it.
OTHERS: dict[str, tuple[Callable[[bytes], Any], Any]] = {
    "llamacpppython0260__extras_tokenize": (_ids, [1, 6403, 1980, 253, 655]),
    "vllm__models": (_models, [("smol", "vllm")]),
    "vllm__tokenize_messages": (_ids, [*_CHAT_IDS[:24], 26843, 2, 198, 1, 520, 9531, 198]),
    "vllm__tokenize_prefill_trailing_space": (
        _ids,
        [*_CHAT_IDS, 504, 2028, 282, 216, 34, 27, 35, 314, 216],
    ),
    "vllm__tokenize_prompt": (_ids, [6403, 1980, 253, 655]),
    "xllamacpp__apply_template": (_template, _CHAT),
    "xllamacpp__apply_template_prefill": (_template, f"{_CHAT}The sum of 2+3 is "),
}
#: Nothing here reads them: no request asks for them (with pieces, as a text, the version).
UNREAD = {
    "vllm__detokenize",
    "vllm__version",
    "xllamacpp__detokenize_partial_utf8",
    "xllamacpp__tokenize_bytes_pieces",
    "xllamacpp__tokenize_pieces",
}


def test_no_recording_is_forgotten() -> None:
    refused = {case for case in captures("*") if capture(case).status != 200}  # `test_refusals`
    by_hand = set(captures("documented_*"))  # a dialect's own tests
    assert set(captures("*")) == {*COMPLETED, *OTHERS, *UNREAD, *refused, *by_hand}


@pytest.mark.parametrize("case", OTHERS)
def test_what_is_no_completion(case: str) -> None:
    read, expected = OTHERS[case]
    assert read(capture(case).body) == expected
