"""An independent score: the server is made to choose given tokens and says how probable they were.

Nothing of the library is used, and a `Scorer` may work on another server than the one searched over,
whose caches nobody else has touched.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import trio

from tests.e2e.bare import bare_client
from trio_beam.http.transport import TrioTransport

#: More than any vocabulary here has.
_ALL = 100_000
#: Tried first for a token that is a part of a character: the answer with all is 4.7 MB.
_SOME = 256


class Scorer:
    """Scores tokens on one server, several sequences at the same time.

    What was scored is remembered by the tokens before it, so a prefix that beams share costs once. A
    sequence keeps one slot of the server, whose cache then holds all of it but the last token.
    """

    def __init__(self, client: httpx.AsyncClient, slots: int) -> None:
        self._client = client
        self._known: dict[tuple[str, tuple[int, ...]], float] = {}
        self._line_feed: int | None = None
        self._put, self._get = trio.open_memory_channel[int](slots)
        for slot in range(slots):
            self._put.send_nowait(slot)

    async def post(self, path: str, **fields: Any) -> Any:
        """What the server's own call `path` answers."""
        response = await self._client.post(path, json=fields)
        response.raise_for_status()
        return msgspec.json.decode(response.content)

    async def score(self, prompt: str, ids: Sequence[int]) -> list[float]:
        """The log-probability (nats) of each token behind the prompt and the tokens before it.

        A token is forced by a logit bias; the server reports its probability before the bias. For a
        token that is a part of a character it reports nothing, so a line feed is forced instead and
        the token is looked up among the alternatives.
        """
        slot = await self._get.receive()
        try:
            for place in range(len(ids)):
                key = prompt, tuple(ids[: place + 1])
                if key not in self._known:
                    self._known[key] = await self._score_last(prompt, key[1], slot)
        finally:
            self._put.send_nowait(slot)
        return [self._known[prompt, tuple(ids[: place + 1])] for place in range(len(ids))]

    async def _score_last(self, prompt: str, ids: Sequence[int], slot: int) -> float:
        entries = await self._forced(prompt, ids[:-1], ids[-1], slot)
        if entries and entries[0]["id"] == ids[-1]:
            return float(entries[0]["logprob"])
        if self._line_feed is None:
            self._line_feed = (await self.post("/tokenize", content="\n"))["tokens"][0]
        for count in (_SOME, _ALL):
            entries = await self._forced(prompt, ids[:-1], self._line_feed, slot, count)
            for other in entries[0]["top_logprobs"]:
                if other["id"] == ids[-1]:
                    return float(other["logprob"])
        raise AssertionError(f"the server does not know token {ids[-1]}")

    async def _forced(
        self, prompt: str, before: Sequence[int], number: int, slot: int, count: int = 1
    ) -> list[dict[str, Any]]:
        answer = await self.post(
            "/completion",
            prompt=[prompt, *before],
            n_predict=1,
            n_probs=count,
            logit_bias=[[number, 1000]],
            id_slot=slot,
            response_fields=["completion_probabilities"],
        )
        entries: list[dict[str, Any]] = answer.get("completion_probabilities", [])
        return entries


@asynccontextmanager
async def scorer(base_url: str, slots: int = 1) -> AsyncIterator[Scorer]:
    """A scorer that uses the first `slots` slots of the server."""
    transport = TrioTransport()
    async with bare_client(base_url, transport=transport, timeout=120) as client:
        yield Scorer(client, slots)


async def score(base_url: str, prompt: str, ids: Sequence[int]) -> list[float]:
    """One sequence, on the server that was searched over."""
    async with scorer(base_url) as one:
        return await one.score(prompt, ids)
