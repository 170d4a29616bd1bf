"""LangChain's client against the gateway, unchanged: another make than OpenAI's."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from functools import partial
from typing import Any, TypedDict, TypeVar

import pytest
import trio
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from tests.e2e.test_gateway import MODEL, ROOT, over
from tests.gateway.calling import calling

T = TypeVar("T")
QUESTION = "What is a black hole, in one sentence?"


@tool
def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"rain in {city}"


class City(BaseModel):
    """A city."""

    city: str


class Short(TypedDict):
    """A word."""

    word: str


async def in_a_thread(work: Callable[[], T]) -> T:
    return await trio.to_thread.run_sync(work, abandon_on_cancel=True)


def model_at(url: str, name: str, **options: Any) -> ChatOpenAI:
    return ChatOpenAI(base_url=url, api_key=SecretStr("none"), model=name, max_retries=0, **options)


async def test_texts_of_the_embedded_model(base_url: str) -> None:
    search = {"search": {"tokens_per_step": 8}}

    async def later(chat: ChatOpenAI) -> BaseMessage:
        found = await chat.ainvoke(QUESTION)
        await chat.root_async_client.close()
        return found

    def ask(url: str) -> tuple[BaseMessage, list[Any], list[Any], BaseMessage]:
        given: dict[str, Any] = {"seed": 1, "temperature": 0.6, "max_tokens": 16}
        chat = model_at(url, f"{MODEL}@beam-2x2", extra_body=search, **given)
        chunks = list(chat.stream(QUESTION, stream_usage=True))
        batch = chat.batch([QUESTION, QUESTION])
        alone = chat.invoke(QUESTION)
        chat.root_client.close()
        return alone, chunks, batch, asyncio.run(later(chat))

    async with over(base_url) as (url, _):
        alone, chunks, batch, last = await in_a_thread(lambda: ask(url))
    assert isinstance(alone, AIMessage)
    assert alone.content
    assert alone.usage_metadata is not None
    assert alone.response_metadata["finish_reason"] in ("stop", "length")
    assert "".join(chunk.content for chunk in chunks) == alone.content
    assert len([chunk for chunk in chunks if chunk.content]) > 1
    streamed = [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata]
    # What the server had in its cache depends on what it was asked before.
    cached = {"input_token_details": alone.usage_metadata["input_token_details"]}
    assert {**streamed[-1], **cached} == alone.usage_metadata
    assert [one.content for one in (*batch, last)] == [alone.content] * 3


async def test_structured_output_of_the_embedded_model(embedded_url: str) -> None:
    """By a grammar, so even a small model keeps to it."""

    def ask(url: str) -> Any:
        chat = model_at(url, f"{MODEL}@best-2", seed=1, temperature=0.6, max_tokens=64)
        found = chat.with_structured_output(Short, method="json_schema").invoke("Say one word.")
        chat.root_client.close()
        return found

    async with over(embedded_url) as (url, _):
        found = await in_a_thread(lambda: ask(url))
    assert isinstance(found["word"], str)


@pytest.mark.parametrize("streamed", [False, True])
async def test_tools(streamed: bool) -> None:
    def ask(url: str) -> tuple[AIMessage, BaseMessage]:
        client = model_at(url, "mock@vote-2")
        chat = client.bind_tools([weather], parallel_tool_calls=False)
        history: list[BaseMessage] = [HumanMessage("Is it raining in Paris?")]
        if streamed:
            chunks = list(chat.stream(history))
            called: Any = chunks[0]
            for chunk in chunks[1:]:
                called = called + chunk
        else:
            called = chat.invoke(history)
        assert isinstance(called, AIMessage)
        results: list[ToolMessage] = [weather.invoke(dict(one)) for one in called.tool_calls]
        final = chat.invoke([*history, called, *results])
        client.root_client.close()
        return called, final

    async with calling() as (url, server):
        called, final = await in_a_thread(lambda: ask(url))
    (call,) = called.tool_calls
    assert (call["name"], call["args"]) == ("weather", {"city": "Paris"})
    assert final.content == "The tool says: rain in Paris."
    history = server.bodies[-1]["messages"]
    assert history[1]["tool_calls"][0]["id"] == history[2]["tool_call_id"] == call["id"]


async def test_structured_output_by_a_tool_and_by_a_schema() -> None:
    methods: list[Any] = ["json_schema", "function_calling", "json_mode"]

    async def ask(url: str) -> list[Any]:
        chat = model_at(url, "mock@best-2")
        found = [
            await chat.with_structured_output(City, method=method).ainvoke("Where?")
            for method in methods
        ]
        await chat.root_async_client.close()
        return found

    async with calling() as (url, server):
        assert await in_a_thread(lambda: asyncio.run(ask(url))) == [City(city="Paris")] * 3
    assert [sorted(one.keys() & {"tools", "response_format"}) for one in server.bodies] == [
        ["response_format"],
        ["tools"],
        ["response_format"],
    ]


async def test_the_programs_of_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    """One with LangChain, one with OpenAI's client."""
    page = (ROOT / "docs/how-to/gateway.md").read_text("utf-8")
    programs = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    async with calling() as (url, _):
        for program in programs:
            here = program.replace("http://127.0.0.1:8100/v1", url).replace("my-model", "mock")
            await in_a_thread(partial(exec, here, {}))
    assert capsys.readouterr().out.count("I have no tools.") == len(programs) == 2
