"""A model's server that calls a tool where there are tools, and reports what the tool has said."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.gateway.serving import serving
from tests.servers.mock_server import MockServer
from trio_beam.endpoint.replicas import Replicas
from trio_beam.gateway.app import Gateway

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CITIES = ("Paris", "Rome")


def _call(number: int, city: str, name: str) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps({"city": city})}
    return {"id": f"call-{number}", "type": "function", "function": function}


def _message(body: dict[str, Any]) -> dict[str, Any]:
    last = body.get("messages", [{"role": "user"}])[-1]
    if last["role"] == "tool":
        return {"role": "assistant", "content": f"The tool says: {last['content']}."}
    if body.get("response_format"):
        return {"role": "assistant", "content": '{"city": "Paris"}'}
    tools = [one["function"] for one in body.get("tools", [])] or body.get("functions")
    if (
        not tools
        or body.get("tool_choice") == "none"
        or "stubborn" in body["messages"][0]["content"]
    ):
        return {"role": "assistant", "content": "I have no tools."}
    calls = [_call(number, city, tools[0]["name"]) for number, city in enumerate(CITIES)]
    if body.get("parallel_tool_calls") is False or body.get("functions"):
        calls = calls[:1]
    return {"role": "assistant", "content": None, "tool_calls": calls}


class CallingServer(MockServer):
    """See the module."""

    def __init__(self) -> None:
        super().__init__(self._answer)

    async def _answer(self, number: int, body: dict[str, Any]) -> httpx.Response | None:
        if body.get("guided_regex") == "(":
            return httpx.Response(400, json={"error": {"message": "guided_regex: no such thing"}})
        message = _message(body)
        text = message["content"] or "call"
        token = {"token": text, "logprob": -1.0, "bytes": list(text.encode())}
        choice = {
            "finish_reason": "tool_calls" if message.get("tool_calls") else "stop",
            "message": message,
            "logprobs": {"content": [token]},
        }
        choices = [{"index": index, **choice} for index in range(body.get("n") or 1)]
        return httpx.Response(
            200, json={"choices": choices, "usage": {"prompt_tokens": 9, "completion_tokens": 5}}
        )


@asynccontextmanager
async def calling(**options: Any) -> AsyncIterator[tuple[str, CallingServer]]:
    """A gateway over such a server; yields its base URL, and the server."""
    server = CallingServer()
    async with server.endpoint(api="chat", **options) as endpoint:
        gateway = Gateway(replicas=Replicas([endpoint]))
        async with serving(gateway) as url:
            yield url, server
