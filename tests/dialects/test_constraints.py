"""Constraints and template arguments, in the spelling of each server."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import attrs
import pytest

from tests.dialects.replay import capture, completed, prepared, sent
from trio_beam.core.beam import Beam
from trio_beam.core.extra_body import RESERVED
from trio_beam.core.language_model import SampleRequest
from trio_beam.core.prompt import check_prompt
from trio_beam.dialects import DIALECTS
from trio_beam.dialects.common.limits import Limits
from trio_beam.errors import ConfigError

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
GRAMMAR = 'root ::= "yes" | "no"'
JSON_SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}
JSON_OBJECT = {"type": "json_object"}
REQUEST = SampleRequest(beam=Beam(), n=1, max_tokens=8, temperature=1.0, top_logprobs=0, seed=None)


def requests(name: str, fields: dict[str, Any], prompt: Any = "Hi") -> list[dict[str, Any]]:
    """The bodies that a dialect sends to prepare a prompt, and its first one to sample."""
    dialect = DIALECTS[name]("m", "auto", Limits())
    found: list[dict[str, Any]] = []

    def drive(exchange: Generator[Any, Any, Any], *answers: bytes) -> Any:
        answer: Any = None
        for one in (*answers, None):
            try:
                request = exchange.send(answer)
            except StopIteration as stop:
                return stop.value
            found.append(sent(request))
            if one is None:
                return None
            answer = request.decode(one)
        return None

    given = attrs.evolve(check_prompt(prompt), extra_body=fields)
    answers = {
        "/apply-template": b'{"prompt": "p"}',
        "ids": b'{"tokens": [1, 2]}',
        "ollama": b'{"_debug_info": {"rendered_template": "p"}}',
    }
    needed = {
        "llama_cpp": [answers["/apply-template"], answers["ids"]] if prompt != "Hi" else [],
        "vllm": [answers["ids"]] if prompt != "Hi" else [],
        "sglang": [answers["ids"], *([b'{"text": ["p"]}'] if prompt != "Hi" else [])],
        "ollama": [answers["ollama"]] if prompt != "Hi" else [],
    }.get(name, [])
    ready = drive(dialect.prepare(given), *needed)
    drive(dialect.sample(ready, REQUEST))
    return found


@pytest.mark.parametrize(
    ("name", "fields", "wanted"),
    [
        ("llama_cpp", {"grammar": GRAMMAR}, {"grammar": GRAMMAR}),
        ("llama_cpp", {"json_schema": SCHEMA}, {"json_schema": SCHEMA}),
        ("llama_cpp", {"response_format": JSON_SCHEMA}, {"json_schema": SCHEMA}),
        ("llama_cpp", {"response_format": JSON_OBJECT}, {"json_schema": {"type": "object"}}),
        ("llama_cpp", {"guided_choice": ["a", 'b"']}, {"grammar": 'root ::= "a" | "b\\""'}),
        ("llama_cpp", {"structured_outputs": {"json": SCHEMA}}, {"json_schema": SCHEMA}),
        ("vllm", {"response_format": JSON_SCHEMA}, {"response_format": JSON_SCHEMA}),
        (
            "vllm",
            {"structured_outputs": {"regex": "a+", "whitespace_pattern": " "}},
            {"structured_outputs": {"regex": "a+", "whitespace_pattern": " "}},
        ),
        # Newer versions ignore the former fields without a word, older ones the newer.
        (
            "vllm",
            {"guided_json": SCHEMA},
            {"guided_json": SCHEMA, "structured_outputs": {"json": SCHEMA}},
        ),
        ("vllm", {"grammar": GRAMMAR}, {"structured_outputs": {"grammar": GRAMMAR}}),
        ("openai", {"response_format": JSON_SCHEMA}, {"response_format": JSON_SCHEMA}),
        ("openai", {"guided_regex": "a"}, {"guided_regex": "a"}),
        ("ollama", {"response_format": JSON_SCHEMA}, {"format": SCHEMA}),
        ("ollama", {"format": "json"}, {"format": {"type": "object"}}),
        ("llama_cpp_python", {"grammar": GRAMMAR}, {"grammar": GRAMMAR}),
    ],
)
def test_a_constraint_is_spelt_for_the_server(
    name: str, fields: dict[str, Any], wanted: dict[str, Any]
) -> None:
    body = requests(name, fields)[-1]
    plain = requests(name, {})[-1]
    assert {key: body[key] for key in body.keys() - plain.keys()} == wanted


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"regex": "a+"}, {"regex": "a+"}),
        ({"ebnf": GRAMMAR}, {"ebnf": GRAMMAR}),
        ({"json_schema": json.dumps(SCHEMA)}, {"json_schema": json.dumps(SCHEMA)}),
        ({"response_format": JSON_SCHEMA}, {"json_schema": json.dumps(SCHEMA)}),
        ({"guided_choice": ["a.b", "c"]}, {"regex": r"(a\.b)|(c)"}),
    ],
)
def test_sglang_has_it_among_the_sampling_parameters(
    fields: dict[str, Any], wanted: dict[str, Any]
) -> None:
    body = requests("sglang", fields)[-1]
    parameters, plain = body["sampling_params"], requests("sglang", {})[-1]["sampling_params"]
    assert {key: parameters[key] for key in parameters.keys() - plain.keys()} == wanted
    assert not fields.keys() & body.keys()


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("llama_cpp", {"regex": "a"}, "'regex': llama.cpp does not know it; use grammar or json_s"),
        ("ollama", {"grammar": GRAMMAR}, "'grammar': Ollama does not know it; use format"),
        ("llama_cpp_python", {"response_format": JSON_OBJECT}, "does not know it; use grammar"),
        ("vllm", {"regex": "a", "grammar": GRAMMAR}, "'regex' and 'grammar': an answer can have"),
        ("llama_cpp", {"response_format": {"type": "json_schema"}}, "a response_format of type"),
        ("llama_cpp", {"json_schema": "nonsense"}, "with a JSON schema as 'json_schema'"),
        ("sglang", {"structured_outputs": {"colour": "red"}}, "with structured_outputs of json"),
    ],
)
def test_a_constraint_that_would_be_ignored_is_refused(
    name: str, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        requests(name, fields)
    assert caught.value.field == "extra_body"


@pytest.mark.parametrize("name", ["vllm", "sglang"])
def test_reasoning_effort_is_an_argument_of_the_template(name: str) -> None:
    """As it is in these servers' chat calls, but not in their ``/tokenize``."""
    chat = [{"role": "user", "content": "Hi"}]
    fields = {"reasoning_effort": "none", "chat_template_kwargs": {"style": "x"}}
    body = requests(name, fields, chat)[0]
    assert body["chat_template_kwargs"] == {
        "reasoning_effort": "none",
        "enable_thinking": False,
        "style": "x",
    }
    fields = {"reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": False}}
    body = requests(name, fields, chat)[0]
    assert body["chat_template_kwargs"]["enable_thinking"] is False
    assert "chat_template_kwargs" not in requests(name, {}, chat)[0]


@pytest.mark.parametrize("case", completed(stream=False))
def test_whatever_a_search_sends_is_reserved(case: str) -> None:
    """Else a caller's field would stand beside it in the same object."""
    recorded = capture(case)
    dialect = recorded.dialect()
    for logprobs in (True, False):
        request = recorded.request(seed=1, logprobs=logprobs)
        exchange = dialect.sample(prepared(dialect, recorded.prompt()), request)
        assert sent(next(exchange)).keys() <= RESERVED.keys()
