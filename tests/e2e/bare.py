"""Bare requests to the embedded server, past the library, and a search that is there to be cancelled."""

from __future__ import annotations

from typing import Any

import httpx

from trio_beam import BeamSearchConfig, local_api_key

#: Two texts so long that neither ends while it is waited for.
LONG = BeamSearchConfig(
    beam_width=2,
    n_per_beam=1,
    tokens_per_step=900,
    max_tokens=900,
    seed=1,
    early_stopping=False,
    extra_body={"ignore_eos": True},
)


def bare_client(base_url: str, **options: Any) -> httpx.AsyncClient:
    """A client that has the server's key; its paths are the server's own, such as ``/slots``."""
    headers = {"authorization": f"Bearer {local_api_key(base_url)}"}
    root = base_url.removesuffix("/v1")
    return httpx.AsyncClient(base_url=root, headers=headers, trust_env=False, **options)


async def remaining(client: httpx.AsyncClient) -> dict[int, int]:
    """Tokens that are still to come of each text, by the number of its slot."""
    slots = (await client.get("/slots")).json()
    return {
        slot["id"]: slot["next_token"][0]["n_remain"] for slot in slots if slot["is_processing"]
    }
