"""The llama_cpp_python dialect: what it sends, what it reads of 0.2.60, and what it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dialects.replay import ask, capture, encode, only, prepared, replay, sent
from tests.dialects.strategies import beams, messages, prompts, unhurried, wishes
from tests.dialects.test_broken_answers import EXPECTED
from trio_beam.core.prompt import check_prompt
from trio_beam.dialects.common.exchange import ModelEntry, ModelList
from trio_beam.dialects.common.limits import Limits
from trio_beam.dialects.llama_cpp_python import LlamaCppPython
from trio_beam.errors import ConfigError, ContextOverflow, LogprobsUnavailable, ServerError

if TYPE_CHECKING:
    from trio_beam.core.language_model import SampleRequest

RECORDED = capture("llamacpppython0260__completions_logprobs")
ENDED = capture("llamacpppython0260__completions_stop")


def _dialect() -> LlamaCppPython:
    return LlamaCppPython("smol", "auto", Limits())


@unhurried()
@given(prompts, wishes(beams()))
def test_a_request(prompt: str, request: SampleRequest) -> None:
    """One choice, the beam's text behind the prompt, and no sampler but the temperature."""
    dialect = _dialect()
    wire = next(dialect.sample(prepared(dialect, prompt), request))
    assert (wire.path, wire.at_root, wire.max_tokens) == (
        "/completions",
        False,
        request.max_tokens,
    )
    expected: dict[str, Any] = {
        "model": "smol",
        "prompt": prompt + "".join(beam.fragment for beam in request.beam.lineage()),
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "logprobs": max(1, request.top_logprobs),
        "top_p": 1,
        "top_k": 0,
        "min_p": 0,
        "repeat_penalty": 1,
    }
    if request.seed is not None:
        expected["seed"] = request.seed
    assert sent(wire) == expected


def test_one_choice_a_request_from_the_start() -> None:
    dialect = _dialect()
    assert dialect.limits.n == 1
    (request,) = ask(RECORDED, dialect=dialect, n=3).requests
    assert "n" not in sent(request)


def test_a_limit_of_the_callers_is_no_way_around_it() -> None:
    assert LlamaCppPython("smol", "auto", Limits(n=8)).limits.n == 1


def test_a_recorded_block() -> None:
    answer = ask(RECORDED, dialect=_dialect()).value
    continuation = only(answer)
    assert continuation.data == b", I could"
    assert [token.text for token in continuation.tokens] == [",", " I", " could"]
    assert continuation.logprob == pytest.approx(-0.42899 - 2.05927 - 4.12448, abs=1e-4)
    assert continuation.finish_reason == "length"
    assert continuation.exact
    assert answer.prompt_tokens == 5  # with the begin-of-text token that the server adds


def test_a_block_that_ended_is_not_exact() -> None:
    """The log-probability of the token that ended it is not in the answer."""
    recorded = ENDED.answer()
    assert recorded["choices"][0]["finish_reason"] == "stop"
    continuation = only(ask(ENDED, dialect=_dialect(), top_logprobs=0).value)
    assert continuation.finish_reason == "stop"
    assert not continuation.exact


def test_blocks_that_show_the_same_tokens_are_told_apart() -> None:
    """The server shows each token inside a character as no text at all."""
    keys = []
    for text in ("🦜", "🫠"):
        answer = RECORDED.answer()
        choice = answer["choices"][0]
        choice["text"] = text
        choice["logprobs"] |= {"tokens": [""] * 4, "token_logprobs": [-1.0] * 4, "top_logprobs": []}
        continuation = only(ask(RECORDED, encode(answer), dialect=_dialect(), max_tokens=4).value)
        assert continuation.data == text.encode()
        assert len(continuation) == len(continuation.tokens) == 4
        assert not continuation.exact
        keys.append(list(continuation.keys))
    assert keys[0] != keys[1]


@given(messages)
def test_a_chat_is_refused_before_anything_is_sent(chat: list[dict[str, Any]]) -> None:
    with pytest.raises(ConfigError, match=r"prompt must be a string .*new turn") as raised:
        replay(_dialect().prepare(check_prompt(chat)))
    assert "another server" in str(raised.value)
    assert "chat messages" in str(raised.value)


def test_a_string_is_not_made_a_chat() -> None:
    dialect = LlamaCppPython("smol", "chat", Limits())
    with pytest.raises(ConfigError, match="api must be 'completions' or 'auto'"):
        replay(dialect.prepare(check_prompt("Once upon a time")))


def test_without_logits_of_all_tokens() -> None:
    """From its source: a ValueError, which the server makes an HTTP 500."""
    words = "HTTP 500: logprobs is not supported for models created with logits_all=False"
    error = ServerError(words, status=500, url="http://server", attempts=3)
    with pytest.raises(LogprobsUnavailable, match="--logits_all true") as raised:
        ask(RECORDED, error, dialect=_dialect())
    assert (raised.value.url, raised.value.attempts) == ("http://server", 3)


def test_another_error_is_passed_on() -> None:
    error = ServerError("HTTP 500: Internal Server Error", status=500)
    with pytest.raises(ServerError) as raised:
        ask(RECORDED, error, dialect=_dialect())
    assert raised.value is error


def test_a_full_context_is_one() -> None:
    refusal = capture("llamacpppython0260__err_ctx").refusal()
    with pytest.raises(ContextOverflow):
        ask(RECORDED, refusal, dialect=_dialect())


@pytest.mark.parametrize(("owner", "known"), [("me", True), ("llamacpp", False), (None, False)])
def test_it_is_known_by_the_owner_of_its_models(owner: str | None, known: bool) -> None:
    models = ModelList(data=[ModelEntry(id="smol.gguf", owned_by=owner)])
    assert LlamaCppPython.recognises(models) is known


@unhurried(60)
@given(st.sampled_from([RECORDED, ENDED]), st.data())
def test_a_truncated_body(recorded: Any, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(recorded.body) - 1))
    with pytest.raises(EXPECTED):
        ask(recorded, recorded.body[:length], dialect=_dialect(), top_logprobs=1)
