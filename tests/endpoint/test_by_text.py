"""A beam that came as text, without token ids, is continued by text where the server's dialect wants ids."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio

from tests.servers.hosted_chat import HostedChat
from trio_beam import Beam, Continuation, Endpoint, RequestContext, SampleRequest, UsageMeter
from trio_beam.core.prompt import Prompt

PROMPT = Prompt(messages=({"role": "user", "content": "Which?"},))
FOUND: dict[str, Any] = {"model": None, "dialect": "auto"}
NAMED: dict[str, Any] = {"model": "m", "dialect": "vllm"}


class Vllm(HostedChat):
    """vLLM: beside the chat its own calls, as far as they are needed here."""

    def respond(self, path: str, headers: Any, content: bytes) -> tuple[int, Any]:
        answers: dict[str, Any] = {
            "/v1/models": {"data": [{"id": "m", "owned_by": "vllm"}]},
            "/version": {"version": "0.32.0"},
            "/tokenize": {"tokens": [1, 2, 3], "count": 3, "max_model_len": 99},
        }
        if path in answers:
            self.paths.append(path)
            return 200, answers[path]
        if path == "/v1/completions":
            self.paths.append(path)
            self.bodies.append(json.loads(content))
            return 200, by_ids(self.bodies[-1])
        return super().respond(path, headers, content)


def by_ids(body: dict[str, Any]) -> dict[str, Any]:
    choice = {
        "index": 0,
        "text": " red",
        "finish_reason": "length",
        "token_ids": [7],
        "logprobs": {"tokens": [" red"], "token_logprobs": [-0.5], "top_logprobs": None},
    }
    return {"choices": [choice], "usage": {"prompt_tokens": len(body["prompt"])}}


def text_beam(text: str) -> Beam:
    block = Continuation(tokens=(), data=text.encode(), exact=False)
    return Beam().extend(block, finish_reason="length")


def request(beam: Beam) -> SampleRequest:
    return SampleRequest(beam=beam, n=1, max_tokens=1, temperature=1.0, top_logprobs=0, seed=1)


@pytest.mark.parametrize("options", [FOUND, NAMED])
async def test_text_is_continued_by_the_chat_call(options: dict[str, Any]) -> None:
    server = Vllm()
    context = RequestContext(meter=UsageMeter(), emit=lambda _: None)
    async with (
        server.client() as http,
        Endpoint("http://vllm/v1", http_client=http, **options) as endpoint,
    ):
        for _ in range(2):  # what it has learnt serves the next search
            sampler = await endpoint.start(PROMPT, context)
            [block] = await sampler.sample(request(text_beam("It is")), context)
            child = text_beam("It is").extend(block)
            assert not child.exact
            await sampler.sample(request(child), context)
    prefixes = [body["messages"][-1]["content"] for body in server.questions]
    assert prefixes == ["It is", child.text] * 2
    assert all(body["messages"][0]["content"] == "Which?" for body in server.questions)
    assert "/v1/completions" not in server.paths
    # One that was found may be of any version: it is asked once whether it continues a message.
    asked = [body for body in server.bodies if body not in server.questions]
    assert len(asked) == (2 if options is FOUND else 0)
    assert all(body["continue_final_message"] for body in server.questions)


async def test_ids_stay_ids() -> None:
    server = Vllm()
    context = RequestContext(meter=UsageMeter(), emit=lambda _: None)
    async with (
        server.client() as http,
        Endpoint("http://vllm/v1", http_client=http, **NAMED) as endpoint,
    ):
        sampler = await endpoint.start(PROMPT, context)
        [block] = await sampler.sample(request(Beam()), context)
        child = Beam().extend(block)
        assert child.exact
        await sampler.sample(request(child), context)
    assert [body["prompt"] for body in server.bodies] == [[1, 2, 3], [1, 2, 3, 7]]


async def test_beams_at_the_same_time_prepare_it_once() -> None:
    server = Vllm()
    context = RequestContext(meter=UsageMeter(), emit=lambda _: None)
    async with (
        server.client() as http,
        Endpoint("http://vllm/v1", http_client=http, **FOUND) as endpoint,
    ):
        sampler = await endpoint.start(PROMPT, context)
        async with trio.open_nursery() as nursery:
            for text in ("It is", "They are"):
                nursery.start_soon(sampler.sample, request(text_beam(text)), context)
    assert len(server.questions) == 2
    assert len(server.bodies) - len(server.questions) == 2
