"""Tools, response formats and other fields for the model's server, through OpenAI's own client."""

from __future__ import annotations

from functools import partial
from typing import Any

import openai
import pytest

from tests.gateway.calling import WEATHER, calling
from tests.gateway.test_openai_client import as_users_do, client

ASK: Any = [{"role": "user", "content": "Is it raining in Paris?"}]
TOOLS: Any = [WEATHER]


async def test_tool_calls_come_back_and_the_chat_goes_on() -> None:
    async with calling() as (url, server), client(url) as ask:
        create = partial(ask.chat.completions.create, model="mock@vote-4")
        found = await create(messages=ASK, tools=TOOLS, parallel_tool_calls=False)
        (choice,) = found.choices
        assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
        assert choice.message.tool_calls is not None
        (called,) = choice.message.tool_calls
        assert called.type == "function"
        assert (called.function.name, called.function.arguments) == ("weather", '{"city": "Paris"}')
        history: Any = [
            *ASK,
            choice.message.model_dump(exclude_none=True),
            {
                "role": "tool",
                "tool_call_id": called.id,
                "content": [{"type": "text", "text": "rain"}],
            },
        ]
        more = await create(messages=history, tools=TOOLS)
    assert more.choices[0].finish_reason == "stop"
    assert "rain" in (more.choices[0].message.content or "")
    assert server.bodies[-1]["messages"] == history
    assert server.bodies[-1]["tools"] == TOOLS
    assert server.bodies[0]["parallel_tool_calls"] is False


async def streamed(url: str, **given: Any) -> openai.types.chat.ParsedChatCompletion[None]:
    """Collect a stream by the client's own helper."""
    async with client(url) as ask, ask.chat.completions.stream(messages=ASK, **given) as chunks:
        async for _ in chunks:
            pass
        return await chunks.get_final_completion()


async def test_tool_calls_are_streamed() -> None:
    async with calling() as (url, _), client(url) as ask:
        given: Any = {"model": "mock@best-4", "tools": TOOLS, "n": 1}
        whole = await ask.chat.completions.create(messages=ASK, **given)
        found = await as_users_do(partial(streamed, url, **given))
    (choice,) = found.choices
    assert choice.finish_reason == "tool_calls"
    shown = [(one.function.name, one.function.arguments) for one in choice.message.tool_calls or ()]
    assert shown == [("weather", '{"city": "Paris"}'), ("weather", '{"city": "Rome"}')]
    wanted = whole.choices[0].message.tool_calls or []
    assert len({one.id for one in wanted}) == 2
    assert [one.id for one in wanted] == [one.id for one in choice.message.tool_calls or ()]


async def test_the_former_names() -> None:
    functions: Any = [WEATHER["function"]]
    async with calling() as (url, _), client(url) as ask:
        found = await ask.chat.completions.create(
            model="mock@greedy", messages=ASK, functions=functions
        )
    (choice,) = found.choices
    assert choice.finish_reason == "function_call"
    assert choice.message.function_call is not None
    assert choice.message.function_call.name == "weather"


async def test_fields_go_to_the_server() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    format_: Any = {"type": "json_schema", "json_schema": {"name": "city", "schema": schema}}
    more = {"chat_template_kwargs": {"enable_thinking": False}}
    async with calling() as (url, server), client(url) as ask:
        await ask.chat.completions.create(
            model="mock@vote-2",
            messages=ASK,
            response_format=format_,
            reasoning_effort="low",
            verbosity="low",
            extra_body=more,
            extra_headers={"X-Request-Id": "my-id"},
        )
    assert server.headers[-1]["x-request-id"] == "my-id"
    sent = server.bodies[-1]
    assert sent["response_format"] == format_
    assert (sent["reasoning_effort"], sent["verbosity"]) == ("low", "low")
    assert sent["chat_template_kwargs"] == more["chat_template_kwargs"]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"model": "mock", "tools": TOOLS}, "tools"),
    ({"model": "mock@power-4", "response_format": {"type": "json_object"}}, "response_format"),
    ({"model": "mock@mcmc-2", "tools": TOOLS}, "tools"),
    ({"model": "mock@best-4", "tools": [{"type": "custom"}]}, "tools"),
    ({"model": "mock@best-4", "tools": "weather"}, "tools"),
    ({"model": "mock@best-4", "tool_choice": "required"}, "tool_choice"),
    ({"model": "mock@best-4", "tools": TOOLS, "tool_choice": "some"}, "tool_choice"),
    ({"model": "mock@best-4", "response_format": {"type": "json_schema"}}, "response_format"),
    ({"model": "mock@best-4", "response_format": "json"}, "response_format"),
    ({"model": "mock@best-4", "reasoning_effort": 3}, "reasoning_effort"),
]


async def test_what_the_search_cannot_honour_is_refused() -> None:
    async with calling() as (url, server), client(url) as ask:
        for given, param in REFUSED:
            with pytest.raises(openai.BadRequestError) as caught:
                await ask.chat.completions.create(messages=ASK, **given)
            assert caught.value.param == param
            assert caught.value.message
        assert not server.bodies  # refused before anything was paid for
        blocks = await ask.chat.completions.create(
            model="mock", messages=ASK, tools=TOOLS, extra_body={"search": {"max_tokens": 64}}
        )
        assert blocks.choices[0].finish_reason == "tool_calls"


async def test_what_the_model_cannot_honour_is_refused_by_name() -> None:
    stubborn: Any = [{"role": "user", "content": "You are stubborn."}]
    given: dict[str, dict[str, Any]] = {
        "tool_choice": {"tools": TOOLS, "tool_choice": "required"},
        "guided_regex": {"extra_body": {"guided_regex": "("}},
    }
    async with calling() as (url, _), client(url) as ask:
        for param, fields in given.items():
            with pytest.raises(openai.BadRequestError) as caught:
                await ask.chat.completions.create(model="mock@best-2", messages=stubborn, **fields)
            assert caught.value.param == param
