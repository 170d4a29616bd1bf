"""How llama.cpp takes a prompt, and what it says of itself."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from tests.dialects.replay import beam_of, capture, encode, replay, sent
from trio_beam.core.beam import Beam
from trio_beam.core.prompt import check_prompt
from trio_beam.dialects.common.dialect import Api
from trio_beam.dialects.common.exchange import ModelList
from trio_beam.dialects.common.limits import Limits
from trio_beam.dialects.llama_cpp import LlamaCpp
from trio_beam.dialects.openai import OpenAI
from trio_beam.errors import EndpointError, RequestRejected, ServerError

TEMPLATE = capture("xllamacpp__apply_template")
NATIVE = capture("xllamacpp__native_completion")
#: Only recorded with pieces, which the dialect does not ask for: the ids alone are constructed.
TOKENS = [piece["id"] for piece in capture("xllamacpp__tokenize_pieces").answer()["tokens"]]


def _llama_cpp(api: Api = "auto", n: int | None = None) -> LlamaCpp:
    return LlamaCpp("smol", api, Limits(n=n))


def _completion(dialect: LlamaCpp, prepared: Any, beam: Beam) -> dict[str, Any]:
    request = next(dialect.sample(prepared, NATIVE.request(beam=beam)))
    assert (request.path, request.at_root) == ("/completion", True)
    return sent(request)


def test_messages_go_through_the_servers_template() -> None:
    dialect = _llama_cpp()
    prompt = check_prompt(TEMPLATE.asked["messages"])
    replayed = replay(dialect.prepare(prompt), TEMPLATE.body, encode({"tokens": TOKENS}))
    templating, tokenizing = replayed.requests
    assert (templating.path, templating.at_root) == ("/apply-template", True)
    assert sent(templating) == TEMPLATE.asked
    assert (tokenizing.path, tokenizing.at_root) == ("/tokenize", True)
    assert sent(tokenizing)["content"] == TEMPLATE.answer()["prompt"]
    # The template's own marks are tokens, not text.
    assert sent(tokenizing)["parse_special"] is True
    body = _completion(dialect, replayed.value, beam_of("one", "three"))
    assert body["prompt"] == [6403, 1980, 253, 655, 3, 5]


def test_a_string_prompt_goes_out_as_it_is() -> None:
    dialect = _llama_cpp()
    replayed = replay(dialect.prepare(check_prompt("Once upon a time")))
    assert replayed.requests == []
    body = _completion(dialect, replayed.value, beam_of("one"))
    assert body["prompt"] == ["Once upon a time", 3]


def test_a_string_becomes_a_message_where_chat_is_wanted() -> None:
    exchange = _llama_cpp("chat").prepare(check_prompt("Hello"))
    replayed = replay(exchange, TEMPLATE.body, encode({"tokens": TOKENS}))
    assert sent(replayed.requests[0]) == {"messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize("words", [1, 2])
def test_a_refused_template_is_the_callers_to_see(words: int) -> None:
    refusal = RequestRejected("no template", status=400)
    answers = (TEMPLATE.body, refusal)[2 - words :]
    with pytest.raises(RequestRejected) as raised:
        replay(_llama_cpp().prepare(check_prompt(TEMPLATE.asked["messages"])), *answers)
    assert raised.value is refusal


def test_a_template_without_a_token_cannot_be_continued() -> None:
    """An error or a request that is JSON: anything else is refused without a reason to be seen."""
    dialect = _llama_cpp()
    exchange = dialect.prepare(check_prompt(TEMPLATE.asked["messages"]))
    try:
        prepared = replay(exchange, encode({"prompt": ""}), encode({"tokens": []})).value
    except EndpointError:
        return
    body = next(dialect.sample(prepared, NATIVE.request(beam=beam_of("one")))).body
    assert body is not None
    assert json.loads(body)["prompt"] == [3]


@pytest.mark.parametrize(("known", "most"), [(None, 8), (2, 2)])
def test_slots_are_the_most_choices(known: int | None, most: int) -> None:
    dialect = _llama_cpp(n=known)
    replayed = replay(dialect.configure(), encode({"total_slots": 8, "n_ctx": 2048}))
    (request,) = replayed.requests
    assert (request.path, request.body, request.at_root) == ("/props", None, True)
    assert replayed.value == 8
    assert dialect.limits.n == most  # what the caller said stands


@pytest.mark.parametrize(
    "error", [RequestRejected("off", status=404), ServerError("x", status=501)]
)
def test_properties_can_be_switched_off(error: EndpointError) -> None:
    dialect = _llama_cpp()
    assert replay(dialect.configure(), error).value is None
    assert dialect.limits.n is None


def test_properties_without_slots() -> None:
    dialect = _llama_cpp()
    assert replay(dialect.configure(), b"{}").value is None
    assert dialect.limits.n is None


def test_a_server_is_recognised_by_its_list_of_models() -> None:
    vllm = msgspec.json.decode(capture("vllm__models").body, type=ModelList)
    assert not LlamaCpp.recognises(vllm)
    # What llama.cpp lists was noted, not recorded.
    ours = encode({"data": [{"id": "smol", "owned_by": "llamacpp"}]})
    assert LlamaCpp.recognises(msgspec.json.decode(ours, type=ModelList))
    assert not OpenAI.recognises(vllm)
