"""The sglang dialect refuses servers that are too old and responses of another shape."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.dialects.replay import drive, encode, only, replay, sent
from tests.dialects.sglang import (
    CHAT,
    PROMPT,
    as_prompt,
    ask,
    documented,
    sglang,
    taken_by,
    wish,
)
from tests.dialects.strategies import unhurried
from tests.dialects.test_broken_answers import EXPECTED, _places, _with
from trio_beam.core.block import known
from trio_beam.core.prompt import check_prompt
from trio_beam.dialects.common.error_responses import error_of
from trio_beam.errors import (
    ContextOverflow,
    EndpointError,
    LogprobsUnavailable,
    MalformedResponse,
    RequestRejected,
    ServerError,
)

if TYPE_CHECKING:
    from trio_beam.dialects.common.exchange import WireRequest


def _refusal(status: int, words: str) -> EndpointError:
    body = encode({"error": {"message": words}})
    return error_of(status, {}, body, url="http://server", now=0)


@pytest.mark.parametrize(
    ("prompt", "status", "words"),
    [
        ("Hello", 404, "this SGLang has no /tokenize;"),
        (CHAT, 404, "this SGLang has no /tokenize for chat messages"),
        (CHAT, 400, "this SGLang has no /tokenize for chat messages"),
        (CHAT, 422, "this SGLang has no /tokenize for chat messages"),
    ],
)
def test_a_server_that_is_too_old(prompt: Any, status: int, words: str) -> None:
    with pytest.raises(RequestRejected, match=words) as raised:
        replay(sglang().prepare(check_prompt(prompt)), _refusal(status, "Field required"))
    assert raised.value.status == status
    assert "Field required" in raised.value.message
    assert raised.value.url == "http://server"


@pytest.mark.parametrize("prompt", ["Hello", CHAT])
@pytest.mark.parametrize("status", [400, 401])
def test_another_refusal_is_passed_on(status: int, prompt: Any) -> None:
    refusal = _refusal(status, "the template raised an error")
    with pytest.raises(RequestRejected) as raised:
        replay(sglang().prepare(check_prompt(prompt)), refusal)
    assert raised.value is refusal


def test_a_prompt_that_is_too_long() -> None:
    words = "The input (9000 tokens) is longer than the model's context length (4096 tokens)."
    with pytest.raises(ContextOverflow):
        replay(sglang().prepare(check_prompt(CHAT)), _refusal(400, words))
    with pytest.raises(ContextOverflow):
        ask(_refusal(400, words))


def test_a_prompt_of_no_tokens() -> None:
    with pytest.raises(MalformedResponse):
        replay(sglang().prepare(check_prompt("Hello")), encode({"tokens": []}))


def test_a_request_that_was_given_up() -> None:
    reason = {"type": "abort", "message": "Out of memory", "status_code": 503}
    answer = documented("", finish_reason=reason, output_token_logprobs=[])
    with pytest.raises(ServerError, match="Out of memory") as raised:
        ask(answer)
    assert raised.value.status == 503
    with pytest.raises(ServerError, match="Out of memory"):
        ask(documented(), [answer], temperature=0.5)


@pytest.mark.parametrize("rows", [None, []])
def test_an_answer_without_log_probabilities(rows: Any) -> None:
    with pytest.raises(LogprobsUnavailable):
        ask(documented(output_token_logprobs=rows))


def test_a_token_without_its_log_probability() -> None:
    rows = [[-0.5, 28, ","], [None, 339, " I"]]
    with pytest.raises(LogprobsUnavailable):
        ask(documented(output_token_logprobs=rows))


def test_fewer_log_probabilities_than_tokens() -> None:
    continuation = only(ask(documented(completion_tokens=5), max_tokens=8).value)
    assert continuation.generated == 5
    assert not continuation.exact


def test_more_tokens_than_were_asked_for() -> None:
    with pytest.raises(MalformedResponse, match="at most 2"):
        ask(max_tokens=2)


def test_a_log_probability_above_0() -> None:
    rows = [[0.5, 28, ","]]
    with pytest.raises(MalformedResponse, match="above 0"):
        ask(documented(",", output_token_logprobs=rows))
    tops = [[[0.5, 28, ","]]] * 3
    with pytest.raises(MalformedResponse, match="above 0"):
        ask(documented(output_top_logprobs=tops), top_logprobs=1)


def test_alternatives_that_are_missing() -> None:
    with pytest.raises(MalformedResponse, match="rows of alternatives"):
        ask(documented(output_top_logprobs=[None]), top_logprobs=1)


def test_no_choices() -> None:
    with pytest.raises(MalformedResponse):
        ask([])


SECOND = {"text": ["upon a time", "upon a time, I could\ufffd"]}


@unhurried(60)
@given(st.sampled_from([0, 1, 2]), st.data())
def test_a_truncated_body(which: int, data: st.DataObject) -> None:
    """Of each of the three answers that a block may take."""
    answers = [encode(documented(", I could\ufffd")), encode([as_prompt(-1, -2, -3)])]
    answers.append(encode(SECOND))
    length = data.draw(st.integers(0, len(answers[which]) - 1))
    answers[which] = answers[which][:length]
    dialect = sglang()
    exchange = dialect.sample(taken_by(dialect), wish(temperature=0.5))
    with pytest.raises(EXPECTED):
        replay(exchange, *answers)


@unhurried(60)
@given(st.integers(0, 20))
def test_truncated_ids(length: int) -> None:
    body = json.dumps({"tokens": PROMPT}).encode()
    with pytest.raises(EXPECTED):
        replay(sglang().prepare(check_prompt("Hello")), body[:length])


@unhurried(300)
@given(st.sampled_from([0, 1, 2]), st.data())
def test_a_value_of_another_kind(which: int, data: st.DataObject) -> None:
    answers: list[Any] = [documented(", I could\ufffd"), [as_prompt(-1, -2, -3)], SECOND]
    place = data.draw(st.sampled_from(_places(answers[which])))
    other: Any = data.draw(
        st.sampled_from([None, "", "x", "\ufffd", [], [None], {}, True, -1, 5.5])
    )
    assume(place or which == 0)
    answers[which] = _with(answers[which], place, other)
    dialect = sglang()
    exchange = dialect.sample(taken_by(dialect), wish(temperature=0.5, top_logprobs=2))

    def by_path(request: WireRequest[Any]) -> bytes:
        if request.path == "/detokenize":
            return encode(answers[2])
        return encode(answers[0 if sent(request)["logprob_start_len"] < 0 else 1])

    try:
        continuation = only(drive(exchange, by_path).value)
    except EXPECTED:
        return
    assert known(continuation.logprob) <= 0
    assert math.isfinite(known(continuation.logprob))
    assert all(top.logprob <= 0 for token in continuation.tokens for top in token.top)
