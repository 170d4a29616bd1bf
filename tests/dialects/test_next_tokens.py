"""Enumeration on servers that show next tokens by their ids: the bytes of each, and which end the text.

A toy tokenizer stands behind both servers: its tokens are words, single bytes of characters, and control
tokens, of which some end a text.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dialects.replay import Replayed, drive, encode, prepared
from tests.dialects.strategies import unhurried
from trio_beam.core.beam import Beam
from trio_beam.core.language_model import SampleRequest
from trio_beam.core.prompt import check_prompt
from trio_beam.dialects.common.dialect import DIALECTS, Dialect
from trio_beam.dialects.common.exchange import ExchangeResult, WireRequest
from trio_beam.dialects.common.limits import Limits
from trio_beam.errors import LogprobsUnavailable

WORDS = [b"a", b" the", b"\n", b" <b", b"!"]
BYTES = [bytes([byte]) for byte in "é😀".encode()]
CONTROL = [b"<|end|>", b"<|other|>", b"[EOS]"]
VOCABULARY = [*WORDS, *BYTES, *CONTROL]
ENDING = {VOCABULARY.index(b"<|end|>"), VOCABULARY.index(b"[EOS]")}
PROMPT = [0, 1, 0]


def decoded(ids: list[int]) -> str:
    return b"".join(VOCABULARY[number] for number in ids).decode("utf-8", "replace")


def next_of(ids: list[int]) -> list[tuple[int, float]]:
    """Next tokens behind these, best first; inside a character all the same tokens."""
    source = random.Random(str(ids))
    order = source.sample(range(len(VOCABULARY)), len(VOCABULARY))
    return [(number, -0.5 * (1 + place)) for place, number in enumerate(order)]


class ToyServer:
    """Both servers' calls; counts how often a token was forced."""

    def __init__(self) -> None:
        self.forced: list[int] = []

    def vllm(self, request: WireRequest[Any]) -> bytes:
        body = json.loads(request.body or b"null")
        if request.path == "/tokenize":
            return encode({"tokens": [0], "count": 1})
        if request.path == "/detokenize":
            return encode({"prompt": decoded(body["tokens"])})
        ids = body["prompt"] if isinstance(body["prompt"], list) else PROMPT
        if "allowed_token_ids" in body:
            (number,) = body["allowed_token_ids"]
            self.forced.append(number)
            reason = "stop" if number in ENDING else "length"
            return encode({"choices": [{"text": "", "finish_reason": reason}]})
        assert body["return_tokens_as_token_ids"]
        found = next_of(ids)
        sampled, value = found[5]
        row = {f"token_id:{sampled}": value}
        row |= {f"token_id:{number}": other for number, other in found[: body["logprobs"]]}
        choice = {
            "text": "",
            "finish_reason": "stop" if sampled in ENDING else "length",
            "token_ids": [sampled],
            "prompt_token_ids": ids,
            "logprobs": {
                "tokens": [f"token_id:{sampled}"],
                "token_logprobs": [value],
                "top_logprobs": [row],
            },
        }
        return encode({"choices": [choice], "usage": {"prompt_tokens": len(ids)}})

    def sglang(self, request: WireRequest[Any]) -> bytes:
        body = json.loads(request.body or b"null")
        if request.path == "/tokenize":
            return encode({"tokens": PROMPT, "count": 3})
        if request.path == "/detokenize":
            return encode({"text": [decoded(ids) for ids in body["tokens"]]})
        ids = body["input_ids"]
        bias = body["sampling_params"].get("logit_bias")
        if bias:
            sampled, value = int(next(iter(bias))), 0.0
            rows: Any = None
            self.forced.append(sampled)
        else:
            found = next_of(ids)
            sampled, value = found[5]
            shown = [[v, number, decoded([number])] for number, v in found]
            rows = [shown[: body["top_logprobs_num"]]]
        reason: dict[str, Any] = {"type": "length", "length": 1}
        if sampled in ENDING:
            reason = {"type": "stop", "matched": sampled}
        meta = {
            "finish_reason": reason,
            "prompt_tokens": len(ids),
            "completion_tokens": 1,
            "output_token_logprobs": [[value, sampled, decoded([sampled])]],
            "output_top_logprobs": rows,
        }
        return encode({"text": decoded([sampled]), "meta_info": meta})


class Talk:
    """A dialect that talks to the toy server."""

    def __init__(self, name: str) -> None:
        self.server = ToyServer()
        self.answer: Callable[[WireRequest[Any]], bytes] = getattr(self.server, name)
        self.dialect: Dialect = DIALECTS[name]("m", "auto", Limits())
        self.prompt = drive(self.dialect.prepare(check_prompt("a thea")), self.answer).value

    def enumerate(self, beam: Beam, n: int, top: int = 0) -> Replayed[ExchangeResult]:
        request = SampleRequest(
            beam=beam, n=n, max_tokens=1, temperature=1.0, top_logprobs=top, seed=1, enumerate=True
        )
        return drive(self.dialect.enumerate(self.prompt, request), self.answer)


def test_the_prompt_of_the_toy_is_its_own() -> None:
    assert decoded(PROMPT) == "a thea"
    assert prepared(DIALECTS["vllm"]("m", "auto", Limits()), "a thea").ids is None


@pytest.mark.parametrize("name", ["vllm", "sglang"])
@unhurried(60)
@given(choices=st.lists(st.integers(0, 20), max_size=10), n=st.integers(1, 10))
def test_a_beam_of_any_next_tokens_is_its_bytes(name: str, choices: list[int], n: int) -> None:
    """Characters come whole, whatever tokens they are made of, and the beam goes on by its ids."""
    talk = Talk(name)
    beam, ids = Beam(), [*PROMPT]
    for choice in choices:
        blocks = talk.enumerate(beam, n).value.continuations
        assert [block.keys for block in blocks] == [[number] for number, _ in next_of(ids)[:n]]
        assert [block.logprob for block in blocks] == [value for _, value in next_of(ids)[:n]]
        for block in blocks:
            assert (block.finish_reason == "stop") == (block.keys[0] in ENDING)
            assert block.exact
        open_blocks = [block for block in blocks if block.finish_reason == "length"]
        if not open_blocks:
            break
        block = open_blocks[choice % len(open_blocks)]
        beam = beam.extend(block)
        ids.append(int(block.keys[0]))
        whole = decoded(ids).rstrip("\ufffd").removeprefix("a thea")
        assert beam.text.rstrip("\ufffd") == whole
    assert len(talk.server.forced) == len(set(talk.server.forced)), "each is asked once"


@pytest.mark.parametrize("name", ["vllm", "sglang"])
def test_what_it_costs_is_counted(name: str) -> None:
    talk = Talk(name)
    answer = talk.enumerate(Beam(), 10).value
    forced = len(talk.server.forced)
    assert forced
    assert answer.extra_generated == 1 + forced
    assert answer.prompt_tokens == len(PROMPT) + forced
    assert talk.enumerate(Beam(), 10).value.extra_generated == 1


@pytest.mark.parametrize("name", ["vllm", "sglang"])
def test_the_tokens_beside_each_are_shown(name: str) -> None:
    blocks = Talk(name).enumerate(Beam(), 2, top=4).value.continuations
    for block in blocks:
        shown = block.tokens[0].top
        assert [token.id for token in shown] == [number for number, _ in next_of(PROMPT)[:4]]


@pytest.mark.parametrize("name", ["vllm", "sglang"])
def test_fewer_than_needed_are_refused_with_what_would_do(name: str) -> None:
    with pytest.raises(LogprobsUnavailable, match=r"beam_width \+ 1"):
        Talk(name).enumerate(Beam(), len(VOCABULARY) + 1)


def test_a_vllm_that_does_not_tell_ids_is_refused() -> None:
    talk = Talk("vllm")
    right = talk.answer

    def by_text(request: WireRequest[Any]) -> bytes:
        return right(request).replace(b"token_id:", b"text ")

    talk.answer = by_text
    with pytest.raises(LogprobsUnavailable, match="newer vLLM"):
        talk.enumerate(Beam(), 3)
