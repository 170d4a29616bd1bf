"""A server that does one thing or another differently, for `Endpoint.capabilities`.

It speaks the OpenAI protocol: four words and an end of text, each word's probability fixed.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx
import trio

from trio_beam import Endpoint

WORDS = {" red": 0.4, " blue": 0.3, " green": 0.2, "</s>": 0.1}


@attrs.define
class QuirkyServer:
    """Everything as it should be, but for what is named.

    Attributes:
        most_n: more choices are refused; 1: they are ignored.
        same_choices: all choices of a request are one sample.
        ignores_seed: each request has other samples.
        seed_per_choice: whether choice i is sampled with seed + i.
        scaled: log-probabilities are those of the temperature.
        most_logprobs: more alternatives are refused.
        end_counted: the end of text is among the tokens.
        continues: a chat's last message is continued; else a new turn is opened.
        streams: whether it knows what a stream is.
        owned_by: what it says of its model.
        batch_noise: nats by which the first word's log-probability rises beside other requests.
    """

    most_n: int = 128
    same_choices: bool = False
    ignores_seed: bool = False
    seed_per_choice: bool = True
    scaled: bool = False
    most_logprobs: int = 10_000
    end_counted: bool = True
    continues: bool = True
    streams: bool = True
    owned_by: str = "somebody"
    batch_noise: float = 0.0
    running: int = 0
    #: Its own, and not chance itself, which would give the same tokens twice now and then.
    source: random.Random = attrs.field(factory=lambda: random.Random(1))
    bodies: list[dict[str, Any]] = attrs.field(factory=list)
    paths: list[str] = attrs.field(factory=list)

    @asynccontextmanager
    async def endpoint(self, **options: Any) -> AsyncIterator[Endpoint]:
        """An endpoint on it."""
        async with (
            httpx.AsyncClient(transport=httpx.MockTransport(self.handle)) as client,
            Endpoint("http://mock/v1", http_client=client, **options) as endpoint,
        ):
            yield endpoint

    async def handle(self, request: httpx.Request) -> httpx.Response:
        """Answer after a second."""
        self.running += 1
        batch = self.running
        try:
            await trio.sleep(1)
            return self._answer(request, max(batch, self.running))
        finally:
            self.running -= 1

    def _answer(self, request: httpx.Request, batch: int) -> httpx.Response:
        self.paths.append(request.url.path)
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": "m", "owned_by": self.owned_by}]})
        if not request.url.path.endswith("/completions"):
            return httpx.Response(404, json={"error": {"message": "no such thing"}})
        body = json.loads(request.content)
        self.bodies.append(body)
        chat = "messages" in body
        top = body.get("top_logprobs") if chat else body.get("logprobs")
        if (top or 0) > self.most_logprobs:
            words = f"logprobs must be at most {self.most_logprobs}"
            return httpx.Response(400, json={"error": {"message": words}})
        if body.get("n", 1) > self.most_n > 1:
            words = f"'n' must be at most {self.most_n}"
            return httpx.Response(400, json={"error": {"message": words}})
        choices = [
            self._choice(body, index, top or 0, chat, batch)
            for index in range(min(body.get("n", 1), self.most_n))
        ]
        usage = {"prompt_tokens": self._count(body), "completion_tokens": None}
        if body.get("stream") and self.streams:
            chunks = [{"choices": choices, "usage": None}, {"choices": [], "usage": usage}]
            lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
            return httpx.Response(200, text="".join(lines) + "data: [DONE]\n\n")
        return httpx.Response(200, json={"choices": choices, "usage": usage})

    def _count(self, body: dict[str, Any]) -> int:
        """Prompt tokens: each word of a message, three around each message, and the new turn."""
        messages = body.get("messages")
        if messages is None:
            return 4
        words = sum(1 for _ in messages)
        if body.get("continue_final_message") and self.continues:
            return 2 + words + 3 * (len(messages) - 1)  # as the turn that was opened, and its word
        return 2 + words + 3 * len(messages)

    def _choice(
        self, body: dict[str, Any], index: int, top: int, chat: bool, batch: int
    ) -> dict[str, Any]:
        seed = self.source.random() if self.ignores_seed else body.get("seed", 0)
        step = 0 if self.same_choices else index if self.seed_per_choice else 1000 * index
        source = random.Random(f"{seed}" if self.ignores_seed else f"{seed + step}")
        temperature = body.get("temperature", 1)
        words = WORDS
        if batch > 1:
            first = WORDS[" red"] * math.exp(self.batch_noise)
            words = {" red": first} | {
                word: p * (1 - first) / 0.6 for word, p in WORDS.items() if word != " red"
            }
        powers = [p ** (1 / temperature) for p in words.values()]
        shown = [
            math.log(p / (sum(powers) if self.scaled else 1))
            for p in (powers if self.scaled else words.values())
        ]
        tokens: list[str] = []
        while len(tokens) < body["max_tokens"] and tokens[-1:] != ["</s>"]:
            tokens += source.choices(list(WORDS), powers)
        ended = tokens[-1] == "</s>"
        text = "".join(tokens[:-1] if ended else tokens)
        if ended and not self.end_counted:
            tokens.pop()
        values = dict(zip(WORDS, shown, strict=True))
        entries = [(token, values[token]) for token in tokens]
        best = sorted(values.items(), key=lambda item: -item[1])[:top]
        logprobs: dict[str, Any]
        if chat:
            logprobs = {
                "content": [
                    {
                        "token": token,
                        "logprob": value,
                        "top_logprobs": [{"token": word, "logprob": p} for word, p in best],
                    }
                    for token, value in entries
                ]
            }
        else:
            logprobs = {
                "tokens": [token for token, _ in entries],
                "token_logprobs": [value for _, value in entries],
                "top_logprobs": [dict(best) for _ in entries],
            }
        piece = (
            {"message": {"content": text}, "delta": {"content": text}} if chat else {"text": text}
        )
        reason = "stop" if ended else "length"
        return {"index": index, "finish_reason": reason, "logprobs": logprobs, **piece}
