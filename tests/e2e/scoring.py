"""An independent score: the server is made to choose given tokens and says how probable they were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx


async def score(base_url: str, prompt: str, ids: Sequence[int]) -> list[float]:
    """The log-probability (nats) of each token behind the prompt and the tokens before it.

    A token is forced by a logit bias; the server reports its probability before the bias. For a
    token that is a part of a character it reports nothing, so a line feed is forced instead and the
    token is looked up among all alternatives.
    """
    root = base_url.removesuffix("/v1")
    async with httpx.AsyncClient(timeout=120) as client:

        async def post(path: str, **fields: Any) -> Any:
            response = await client.post(root + path, json=fields)
            response.raise_for_status()
            return response.json()

        line_feed = (await post("/tokenize", content="\n"))["tokens"][0]
        values = []
        for place, number in enumerate(ids):
            fields = {"prompt": [prompt, *ids[:place]], "n_predict": 1, "n_probs": 1}
            answer = await post("/completion", **fields, logit_bias=[[number, 1000]])
            entries = answer.get("completion_probabilities", [])
            if not entries or entries[0]["id"] != number:
                fields["n_probs"] = 100_000
                answer = await post("/completion", **fields, logit_bias=[[line_feed, 1000]])
                entries = answer["completion_probabilities"][0]["top_logprobs"]
                entries = [entry for entry in entries if entry["id"] == number]
            values.append(entries[0]["logprob"])
    return values
