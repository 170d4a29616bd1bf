"""The three shapes of an answer, and a server that spoils the JSON of one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import attrs

from tests.endpoint.bad_peer import (
    Peer,
    Spoil,
    bad_peer,
    found,
)
from tests.servers.fault_server import (
    HEALTHY,
    Fault,
    Request,
)
from tests.servers.socket_server import http_answer

Place: TypeAlias = tuple[str | int, ...]


@attrs.frozen
class Shape:
    """One of the three shapes of an answer, and where things are in it.

    Attributes:
        options: for an endpoint that asks for it.
        choices: the way to the list of choices.
        logprobs: from a choice to its log-probabilities.
        logprob: from there to the first.
        text: from a choice to a text.
        count: the way to the number of prompt tokens.
    """

    options: dict[str, Any]
    choices: Place
    logprobs: Place
    logprob: Place
    text: Place
    count: Place

    def place(self, word: str) -> Place:
        """The way to something of the first choice, or to the choices or the count."""
        first = (*self.choices, 0)
        return {
            "choices": self.choices,
            "choice": first,
            "index": (*first, "index"),
            "logprobs": first + self.logprobs,
            "logprob": first + self.logprobs + self.logprob,
            "text": first + self.text,
            "count": self.count,
        }[word]


SHAPES = {
    "completions": Shape(
        {"dialect": "openai"},
        ("choices",),
        ("logprobs",),
        ("token_logprobs", 0),
        ("text",),
        ("usage", "prompt_tokens"),
    ),
    "chat": Shape(
        {"dialect": "openai", "api": "chat"},
        ("choices",),
        ("logprobs",),
        ("content", 0, "logprob"),
        ("message", "content"),
        ("usage", "prompt_tokens"),
    ),
    "native": Shape(
        {"dialect": "llama_cpp"},
        (),
        ("completion_probabilities",),
        (0, "logprob"),
        ("completion_probabilities", 0, "token"),
        (0, "tokens_evaluated"),
    ),
}


def replaced(answer: Any, place: Place, raw: bytes) -> bytes:
    """The answer's JSON with a value replaced by these bytes, whether they are JSON or not."""
    return json.dumps(changed(answer, place, "@@")).encode().replace(b'"@@"', raw, 1)


def changed(answer: Any, place: Place, value: Any) -> Any:
    """A copy with a value replaced."""
    if not place:
        return value
    copy = answer.copy()
    copy[place[0]] = changed(answer[place[0]], place[1:], value)
    return copy


def inner(answer: Any, place: Place) -> Any:
    for name in place:
        answer = answer[name]
    return answer


def is_for_tokens(request: Request) -> bool:
    """Not to find something out."""
    return "completion" in request.path and "logit_bias" not in request.body


@asynccontextmanager
async def spoiling(shape: Shape, spoil: Spoil, **options: Any) -> AsyncIterator[Peer]:
    """A server whose every answer to a request for tokens is spoilt, and right afterwards."""
    fault = Fault(lambda right: [http_answer(spoil(right))])

    def script(request: Request) -> Fault:
        return fault if is_for_tokens(request) else HEALTHY

    async with (
        bad_peer(lambda request: HEALTHY, **shape.options) as healthy,
        bad_peer(script, **shape.options | options) as peer,
    ):
        right = await healthy.result()
        yield peer
        peer.cure()
        assert found(await peer.result()) == found(right)
