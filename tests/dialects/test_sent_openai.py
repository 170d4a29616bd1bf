"""Requests of the openai dialect, compared with naively built ones."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dialects.replay import prepared, replay, sent
from tests.dialects.strategies import beams, limits, messages, prompts, unhurried, wishes
from trio_beam.core.beam import Beam
from trio_beam.core.language_model import SampleRequest
from trio_beam.core.prompt import PromptLike, check_prompt
from trio_beam.dialects.common.dialect import Api
from trio_beam.dialects.common.exchange import WireRequest
from trio_beam.dialects.common.limits import Limits
from trio_beam.dialects.openai import OpenAI
from trio_beam.errors import ConfigError


def _first(
    prompt: PromptLike, request: SampleRequest, known: Limits, api: Api = "auto"
) -> WireRequest[Any]:
    dialect = OpenAI("a model", api, known)
    return next(dialect.sample(prepared(dialect, prompt), request))


def _text(beam: Beam) -> str:
    """All whole characters of the beam; what is left of one cannot be sent as text."""
    data = b"".join(token.data for token in beam.tokens)
    whole, left = data.decode("utf-8", "ignore"), len(beam.pending)
    assert whole.encode() == data[: len(data) - left]
    return whole


def _common(request: SampleRequest, known: Limits) -> tuple[dict[str, Any], int]:
    """The fields of both calls, and how many top log-probabilities."""
    n = request.n if known.n is None else min(request.n, known.n)
    top = max(1, request.top_logprobs)
    expected = {
        "model": "a model",
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": 1,
    }
    if n > 1:
        expected["n"] = n
    if request.seed is not None:
        expected["seed"] = request.seed
    return expected, top if known.logprobs is None else min(top, known.logprobs)


@unhurried()
@given(prompts, wishes(beams()), limits())
def test_a_string_prompt(prompt: str, request: SampleRequest, known: Limits) -> None:
    wire = _first(prompt, request, known)
    common, top = _common(request, known)
    assert (wire.path, wire.at_root) == ("/completions", False)
    assert sent(wire) == common | {"prompt": prompt + _text(request.beam), "logprobs": top}


@unhurried()
@given(messages, wishes(beams(begin="so")), limits())
def test_messages_with_a_beam(
    given_messages: list[dict[str, Any]], request: SampleRequest, known: Limits
) -> None:
    wire = _first(given_messages, request, known)
    common, top = _common(request, known)
    assistant = {"role": "assistant", "content": _text(request.beam)}
    assert (wire.path, wire.at_root) == ("/chat/completions", False)
    assert sent(wire) == common | {
        "messages": [*given_messages, assistant],
        "logprobs": True,
        "top_logprobs": top,
        "continue_final_message": True,
        "add_generation_prompt": False,
    }


@unhurried()
@given(messages, wishes(st.just(Beam())), limits())
def test_messages_with_nothing_to_continue(
    given_messages: list[dict[str, Any]], request: SampleRequest, known: Limits
) -> None:
    common, top = _common(request, known)
    assert sent(_first(given_messages, request, known)) == common | {
        "messages": given_messages,
        "logprobs": True,
        "top_logprobs": top,
    }


@unhurried()
@given(prompts, wishes(st.just(Beam())))
def test_a_string_where_chat_is_wanted(prompt: str, request: SampleRequest) -> None:
    wire = _first(prompt, request, Limits(), "chat")
    assert wire.path == "/chat/completions"
    assert sent(wire)["messages"] == [{"role": "user", "content": prompt}]


def test_messages_where_completions_are_wanted() -> None:
    dialect = OpenAI("a model", "completions", Limits())
    prompt = check_prompt([{"role": "user", "content": "Hello"}])
    with pytest.raises(ConfigError, match="api"):
        replay(dialect.prepare(prompt))
