"""Requests of the llama_cpp dialect, compared with naively built ones."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.dialects.replay import encode, prepared, replay, sent
from tests.dialects.strategies import (
    beams,
    ids,
    limits,
    messages,
    prompts,
    texts,
    unhurried,
    wishes,
)
from trio_beam.core.language_model import SampleRequest
from trio_beam.core.prompt import check_prompt
from trio_beam.dialects.common.limits import Limits
from trio_beam.dialects.llama_cpp import LlamaCpp

#: Fields that are read from a response, and so must not be trimmed.
NEEDED = {"tokens", "stop_type", "truncated", "completion_probabilities", "index"}


def _expected(request: SampleRequest, known: Limits) -> dict[str, Any]:
    n = request.n if known.n is None else min(request.n, known.n)
    expected: dict[str, Any] = {
        "model": "a model",
        "n_predict": request.max_tokens,
        "temperature": request.temperature,
        "n_probs": max(1, request.top_logprobs),
        "return_tokens": True,
        # The server's own defaults would cut the distribution that is searched.
        "samplers": ["temperature"],
        "top_p": 1,
        "top_k": 0,
        "min_p": 0,
        "repeat_penalty": 1,
        "cache_prompt": True,
    }
    if n > 1:
        expected["n_cmpl"] = n
    if request.seed is not None:
        expected["seed"] = request.seed
    return expected


def _body(dialect: LlamaCpp, prompt: Any, request: SampleRequest) -> dict[str, Any]:
    wire = next(dialect.sample(prompt, request))
    assert (wire.path, wire.at_root) == ("/completion", True)
    body = sent(wire)
    assert set(body.pop("response_fields")) >= NEEDED
    return body


@unhurried()
@given(prompts, wishes(beams()), limits())
def test_a_string_prompt(prompt: str, request: SampleRequest, known: Limits) -> None:
    """The prompt as it is, and behind it the very tokens of the beam."""
    dialect = LlamaCpp("a model", "auto", known)
    body = _body(dialect, prepared(dialect, prompt), request)
    numbers = [token.id for token in request.beam.tokens]
    assert body == _expected(request, known) | {"prompt": [prompt, *numbers]}


@unhurried()
@given(messages, texts, st.lists(ids, min_size=1), wishes(beams()))
def test_messages(
    given_messages: list[dict[str, Any]], template: str, tokens: list[int], request: SampleRequest
) -> None:
    dialect = LlamaCpp("a model", "auto", Limits())
    exchange = dialect.prepare(check_prompt(given_messages))
    answers = encode({"prompt": template}), encode({"tokens": tokens})
    replayed = replay(exchange, *answers)
    templating, tokenizing = map(sent, replayed.requests)
    assert templating == {"messages": given_messages}
    assert tokenizing == {"content": template, "add_special": True, "parse_special": True}
    body = _body(dialect, replayed.value, request)
    numbers = [token.id for token in request.beam.tokens]
    assert body == _expected(request, Limits()) | {"prompt": [*tokens, *numbers]}
