"""The sglang dialect, against answers in the documented shape: nothing here was recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dialects.replay import encode, only, replay, sent
from tests.dialects.sglang import (
    CHAT,
    DOCUMENTED,
    PLAIN,
    PROMPT,
    as_prompt,
    ask,
    documented,
    sglang,
    taken_by,
    wish,
)
from tests.dialects.strategies import (
    beams,
    ids,
    limits,
    messages,
    prompts,
    unhurried,
    wishes,
)
from trio_beam.core.beam import Beam
from trio_beam.core.language_model import SampleRequest
from trio_beam.core.prompt import check_prompt
from trio_beam.dialects.common.exchange import ModelEntry, ModelList
from trio_beam.dialects.common.limits import Limits
from trio_beam.dialects.sglang import SGLang
from trio_beam.errors import LogprobsUnavailable, MalformedResponse, RequestRejected

if TYPE_CHECKING:
    from collections.abc import Sequence


# -- what is sent


def _expected(prompt: Sequence[int], request: SampleRequest, known: Limits) -> dict[str, Any]:
    n = request.n if known.n is None else min(request.n, known.n)
    numbers = [*prompt, *(token.id for token in request.beam.tokens)]
    sampling = {"max_new_tokens": request.max_tokens, "temperature": request.temperature, **PLAIN}
    fields: dict[str, Any] = {"input_ids": numbers, "sampling_params": sampling}
    if request.seed is not None and n > 1:
        # One seed for all of them would make them the same.
        fields["input_ids"] = [numbers] * n
        fields["sampling_params"] = [
            sampling | {"sampling_seed": request.seed + place} for place in range(n)
        ]
    elif request.seed is not None:
        sampling["sampling_seed"] = request.seed
    elif n > 1:
        sampling["n"] = n
    return fields | {
        "model": "smol",
        "return_logprob": True,
        "logprob_start_len": -1,
        "top_logprobs_num": request.top_logprobs,
        "return_text_in_logprobs": True,
        "stream": False,
    }


@unhurried()
@given(st.lists(ids, min_size=1), wishes(beams()), limits())
def test_a_request(prompt: list[int], request: SampleRequest, known: Limits) -> None:
    known.logprobs = None
    dialect = sglang(known)
    wire = next(dialect.sample(taken_by(dialect, prompt), request))
    n = known.cap_n(request.n)
    assert (wire.path, wire.at_root) == ("/generate", True)
    assert wire.max_tokens == n * request.max_tokens
    assert sent(wire) == _expected(prompt, request, known)


@given(prompts)
def test_a_string_becomes_ids(prompt: str) -> None:
    replayed = replay(sglang().prepare(check_prompt(prompt)), encode({"tokens": [1, 2]}))
    (wire,) = replayed.requests
    assert (wire.path, wire.at_root, wire.max_tokens) == ("/tokenize", True, 0)
    assert sent(wire) == {"model": "smol", "prompt": prompt}
    assert list(replayed.value.ids) == [1, 2]


@given(messages)
def test_messages_become_ids(chat: list[dict[str, Any]]) -> None:
    answers = [encode({"tokens": [1, 2]}), encode({"text": ["<|im_start|>assistant\n<think>\n"]})]
    dialect = sglang()
    replayed = replay(dialect.prepare(check_prompt(chat)), *answers)
    first, end = replayed.requests
    assert sent(first) == {"model": "smol", "messages": chat}
    assert sent(end) == {"model": "smol", "tokens": [[1, 2]]}
    assert list(replayed.value.ids) == [1, 2]
    assert dialect.opens_thinking(replayed.value) == "<think>"


def test_an_older_server_does_not_tell_whether_the_template_opens_the_thinking() -> None:
    dialect = sglang()
    refusal = RequestRejected("Not Found", status=404)
    replayed = replay(dialect.prepare(check_prompt(CHAT)), encode({"tokens": [1, 2]}), refusal)
    assert dialect.opens_thinking(replayed.value) is None


def test_a_string_as_a_chat() -> None:
    dialect = SGLang("smol", "chat", Limits())
    answers = [encode({"tokens": [1]}), encode({"text": ["Hello"]})]
    replayed = replay(dialect.prepare(check_prompt("Hello")), *answers)
    assert sent(replayed.requests[0])["messages"] == CHAT
    assert dialect.opens_thinking(replayed.value) == ""


# -- what is read


def test_a_whole_block() -> None:
    answer = ask(top_logprobs=2).value
    continuation = only(answer)
    assert answer.prompt_tokens == 4
    assert continuation.data == b", I could"
    assert list(continuation.keys) == [28, 339, 746]
    assert [(token.text, token.id) for token in continuation.tokens] == [
        (",", 28),
        (" I", 339),
        (" could", 746),
    ]
    assert continuation.logprob == pytest.approx(-0.429 - 2.059 - 4.124)
    assert (continuation.finish_reason, continuation.generated) == ("length", 3)
    assert continuation.exact
    first = continuation.tokens[0].top
    assert [(top.text, top.id, top.logprob) for top in first] == [
        (",", 28, -0.429),
        (" in", 281, -2.548),
    ]


def test_end_of_text_counts_in_the_score_and_adds_no_text() -> None:
    rows = [[-0.5, 28, ","], [-0.25, 2, "<|im_end|>"]]
    reason = {"type": "stop", "matched": 2}
    answer = documented(",", output_token_logprobs=rows, completion_tokens=2, finish_reason=reason)
    continuation = only(ask(answer).value)
    assert continuation.finish_reason == "stop"
    assert continuation.data == b","
    assert continuation.logprob == -0.75
    assert continuation.tokens[-1].data == b""
    assert continuation.exact


def test_several_choices_keep_their_order() -> None:
    first, second = documented(), documented(" there was")
    replayed = ask([first, second], n=2)
    assert sent(replayed.requests[0])["sampling_params"]["n"] == 2
    data = [continuation.data for continuation in replayed.value.continuations]
    assert data == [b", I could", b" there was"]
    assert replayed.value.prompt_tokens == 4  # it was computed once


def test_fewer_choices_are_remembered() -> None:
    dialect = sglang()
    replay(dialect.sample(taken_by(dialect), wish(n=3)), encode([documented()]))
    assert dialect.limits.n == 1


def test_two_blocks() -> None:
    dialect = sglang()
    prepared = taken_by(dialect)
    first = replay(dialect.sample(prepared, wish()), DOCUMENTED.body)
    beam = Beam().extend(only(first.value))
    second = replay(dialect.sample(prepared, wish(beam=beam)), DOCUMENTED.body)
    assert sent(second.requests[0])["input_ids"] == [*PROMPT, 28, 339, 746]
    child = beam.extend(only(second.value))
    assert child.text == ", I could, I could"
    assert child.exact


# -- another temperature


@pytest.mark.parametrize("temperature", [0.5, 2])
def test_a_scaled_block_is_read_again(temperature: float) -> None:
    replayed = ask(
        [documented(), documented()],
        [as_prompt(-1, -2, -3), as_prompt(-4, -5, -6)],
        temperature=temperature,
        top_logprobs=2,
        n=2,
    )
    _, again = replayed.requests
    assert (again.path, again.at_root, again.max_tokens) == ("/generate", True, 0)
    assert sent(again) == {
        "input_ids": [[*PROMPT, 28, 339, 746]] * 2,
        "sampling_params": {"max_new_tokens": 0, "temperature": 1, **PLAIN},
        "model": "smol",
        "return_logprob": True,
        "logprob_start_len": 3,
        "top_logprobs_num": 2,
        "return_text_in_logprobs": True,
        "stream": False,
    }
    first, second = replayed.value.continuations
    assert [token.logprob for token in first.tokens] == [-1, -2, -3]
    assert (first.logprob, second.logprob) == (-6, -15)
    assert [top.logprob for top in first.tokens[0].top] == [-0.1]
    assert first.exact
    assert replayed.value.prompt_tokens == 4 + 4 + 4


@pytest.mark.parametrize("temperature", [0, 0.0, 1, 1.0])
def test_no_second_request_where_nothing_is_scaled(temperature: float) -> None:
    assert len(ask(temperature=temperature).requests) == 1


def test_the_second_reading_is_of_the_same_tokens() -> None:
    other = as_prompt(-1, -2, -3)
    other["meta_info"]["input_token_logprobs"][-1][1] = 99
    with pytest.raises(MalformedResponse, match="not those of the tokens"):
        ask(documented(), [other], temperature=0.5)


def test_a_server_that_reads_no_prompt() -> None:
    with pytest.raises(LogprobsUnavailable, match="of a prompt"):
        ask(documented(), [documented(input_token_logprobs=[])], temperature=0.5)


def test_a_second_reading_that_is_short() -> None:
    answers = [documented(), documented()], [as_prompt(-1, -2, -3)]
    with pytest.raises(MalformedResponse, match="1 answers to 2 prompts"):
        ask(*answers, temperature=0.5, n=2)


@pytest.mark.parametrize(("owner", "known"), [("sglang", True), ("vllm", False), (None, False)])
def test_it_is_known_by_the_owner_of_its_models(owner: str | None, known: bool) -> None:
    models = ModelList(data=[ModelEntry(id="smol", owned_by=owner)])
    assert SGLang.recognises(models) is known
