"""Fields of the server's own, from the endpoint and from strategies, in the requests of a search."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from trio.testing import MockClock

from tests.servers.mock_server import MockServer
from trio_beam import BeamSearchConfig, Endpoint, McmcConfig, SearchFailed, search
from trio_beam.core.strategy import Strategy
from trio_beam.errors import ConfigError
from trio_beam.scorers import Judge
from trio_beam.strategies import best_of_n, greedy, self_consistency

CHAT = [{"role": "user", "content": "Weather in Paris?"}]
TEMPLATE = {"chat_template_kwargs": {"enable_thinking": False}, "reasoning_effort": "low"}
GRAMMAR = {"grammar": 'root ::= "yes" | "no"'}
TOOLS: dict[str, Any] = {
    "tools": [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
}


def call(city: str) -> dict[str, Any]:
    function = {"name": "weather", "arguments": f'{{"city": "{city}"}}'}
    return {"id": f"id of {city}", "type": "function", "function": function}


def completed(body: dict[str, Any]) -> dict[str, Any]:
    """A native completion of llama.cpp, of one token."""
    entry = {"id": 5, "token": " yes", "bytes": list(b" yes"), "logprob": -1.0}
    one = {"tokens": [5], "completion_probabilities": [{**entry, "top_logprobs": [entry]}]}
    return {**one, "stop_type": "eos", "tokens_evaluated": 3}


class Server(MockServer):
    """A server with chats, its own calls, and tools that it calls for one city after the other."""

    def __init__(self, owner: str = "llamacpp", cities: tuple[str, ...] = ("Paris",)) -> None:
        super().__init__(self.respond)
        self.owner, self.cities = owner, cities

    async def respond(self, number: int, body: dict[str, Any]) -> httpx.Response | None:
        path = self.paths[number]
        if path.endswith("/models"):
            return httpx.Response(200, json={"data": [{"id": "m", "owned_by": self.owner}]})
        answers: dict[str, Any] = {
            "/apply-template": {"prompt": "p"},
            "/tokenize": {"tokens": [1, 2, 3]},
            "/completion": completed(body),
            "/props": {"total_slots": 4},
        }
        if path in answers:
            return httpx.Response(200, json=answers[path])
        if path.endswith("/chat/completions"):
            return httpx.Response(200, json=self.chat(body))
        return None

    def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        token = {"token": "x", "logprob": -1.0}
        choices = []
        for index in range(body.get("n", 1)):
            city = self.cities[index % len(self.cities)]
            called = {"content": None, "tool_calls": [call(city)]} if "tools" in body else {}
            choices.append(
                {
                    "index": index,
                    "message": {"role": "assistant", "content": "x", **called},
                    "finish_reason": "tool_calls" if called else "stop",
                    **({"logprobs": {"content": [token, token]}} if body.get("logprobs") else {}),
                }
            )
        return {"choices": choices, "usage": {"prompt_tokens": 3, "completion_tokens": 2}}

    def sent(self, path: str) -> dict[str, Any]:
        """The body of the first request for a path."""
        return self.bodies[self.paths.index(path)]


async def test_a_strategy_s_fields_take_precedence(autojump_clock: MockClock) -> None:
    server = Server()
    own = {"reasoning_effort": "high", "provider": {"order": ["a"]}}
    async with server.endpoint(api="chat", extra_body=own) as endpoint:
        await search(endpoint, "Hi", greedy(extra_body={"reasoning_effort": "low"}))
        await search(endpoint, "Hi", greedy())
        assert endpoint.extra_body == own
    assert [body["reasoning_effort"] for body in server.bodies] == ["low", "high"]
    assert all(body["provider"] == {"order": ["a"]} for body in server.bodies)


async def test_template_arguments_reach_llama_cpp_s_template(autojump_clock: MockClock) -> None:
    server = Server()
    async with server.endpoint(dialect="auto", model=None) as endpoint:
        result = await search(endpoint, CHAT, greedy(extra_body=TEMPLATE))
    assert server.sent("/apply-template").items() >= TEMPLATE.items()
    assert (result.text, result.exact) == (" yes", True)


async def test_template_arguments_reach_vllm_s_tokenizer(autojump_clock: MockClock) -> None:
    server = Server("vllm")
    async with server.endpoint(dialect="vllm") as endpoint:
        with pytest.raises(SearchFailed):  # it has no completions of vLLM
            await search(endpoint, CHAT, greedy(extra_body=TEMPLATE))
    assert server.sent("/tokenize")["chat_template_kwargs"] == {
        "enable_thinking": False,
        "reasoning_effort": "low",
    }


async def test_a_grammar_is_in_the_requests_that_sample_only(autojump_clock: MockClock) -> None:
    server = Server()
    async with server.endpoint(dialect="llama_cpp") as endpoint:
        result = await search(endpoint, CHAT, best_of_n(2, extra_body={**GRAMMAR, **TEMPLATE}))
    with_grammar = [
        path for path, body in zip(server.paths, server.bodies, strict=True) if "grammar" in body
    ]
    assert set(with_grammar) == {"/completion"}
    assert not result.exact  # the grammar changes what is sampled


STRATEGIES: list[tuple[Strategy, dict[str, Any], str]] = [
    (BeamSearchConfig(), GRAMMAR, "'grammar' here.* anew with each block.*tokens_per_step must be"),
    (BeamSearchConfig(block="steps", tokens_per_step=512), TOOLS, "'tools' here.*block must be No"),
    (McmcConfig(), {"response_format": {"type": "json_object"}}, "steps must be 0"),
]


@pytest.mark.parametrize(("strategy", "fields", "message"), STRATEGIES)
async def test_several_blocks_are_refused_before_the_first_request(
    strategy: Strategy, fields: dict[str, Any], message: str
) -> None:
    server = Server()
    async with server.endpoint(dialect="auto", extra_body=fields) as endpoint:
        with pytest.raises(ConfigError, match=message):
            await search(endpoint, CHAT, strategy)
    assert server.paths == []


@pytest.mark.parametrize(
    ("prompt", "options", "message"),
    [
        ("Hi", {}, "cannot have tools for a text to continue: give chat messages"),
        (CHAT, {"api": "completions"}, "api must be 'chat' or 'auto' with tools"),
    ],
)
async def test_tools_without_a_chat_are_refused_before_the_first_request(
    prompt: Any, options: dict[str, Any], message: str
) -> None:
    server = Server()
    async with server.endpoint(dialect="auto", model=None, **options) as endpoint:
        with pytest.raises(ConfigError, match=message):
            await search(endpoint, prompt, greedy(extra_body=TOOLS))
    assert server.paths == []


@pytest.mark.parametrize("dialect", ["auto", "llama_cpp", "openai", "vllm", "sglang", "ollama"])
async def test_tools_go_to_the_chat_call_of_every_server(
    autojump_clock: MockClock, dialect: str
) -> None:
    server = Server(cities=("Rome", "Paris", "Paris"))
    async with server.endpoint(dialect=dialect, model="m") as endpoint:
        result = await search(endpoint, CHAT, self_consistency(3, extra_body=TOOLS))
    body = server.sent("/v1/chat/completions")
    assert body["tools"] == TOOLS["tools"]
    assert result.beams[0].tool_calls[0].arguments == '{"city": "Paris"}'
    assert dict(result.votes)['{"name": "weather", "arguments": {"city": "Paris"}}'] == 2 / 3
    assert (result.text, result.exact) == ("", False)
    # The server's own defaults must not change the distribution.
    neutral = {"auto": "samplers", "llama_cpp": "samplers", "vllm": "min_p", "sglang": "min_p"}
    assert neutral.get(dialect, "top_p") in body


async def test_tools_and_texts_share_an_endpoint(autojump_clock: MockClock) -> None:
    server = Server()
    async with server.endpoint(dialect="auto", model=None) as endpoint:
        first = await search(endpoint, CHAT, greedy())
        called = await search(endpoint, CHAT, best_of_n(2, extra_body=TOOLS))
        again = await search(endpoint, CHAT, greedy())
    assert (first.text, again.text) == (" yes", " yes")
    assert called.beams[0].tool_calls[0].name == "weather"
    assert called.beams[0].logprob == -2.0


async def test_a_judge_is_asked_without_grammar_and_tools(autojump_clock: MockClock) -> None:
    server = Server(cities=("Rome", "Paris"))
    asked: list[dict[str, Any]] = []
    respond = server.respond

    async def judged(number: int, body: dict[str, Any]) -> httpx.Response | None:
        if "tools" in body:
            return await respond(number, body)
        asked.append(body)
        top = [{"token": "Yes", "logprob": -0.1}, {"token": "No", "logprob": -3.0}]
        logprobs = {"content": [{**top[0], "top_logprobs": top}]}
        choice = {"message": {"content": "Yes"}, "finish_reason": "length", "logprobs": logprobs}
        return httpx.Response(200, json={"choices": [choice], "usage": {}})

    server.before = judged
    fields = {**TOOLS, "reasoning_effort": "none"}
    async with server.endpoint() as endpoint:
        await search(endpoint, CHAT, best_of_n(2, scorer=Judge(), extra_body=fields))
    assert len(asked) == 2
    assert all(body["reasoning_effort"] == "none" for body in asked)
    questions = "".join(body["messages"][0]["content"] for body in asked)
    assert '"city": "Rome"' in questions
    assert '"city": "Paris"' in questions


def test_the_endpoint_refuses_what_a_search_sets() -> None:
    with pytest.raises(ConfigError, match="extra_body cannot have 'seed': seed is the seed"):
        Endpoint("http://host/v1", extra_body={"seed": 1})
