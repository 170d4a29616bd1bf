"""Bare requests to the embedded server, past the library."""

from __future__ import annotations

from typing import Any

import httpx

from trio_beam import local_api_key


def bare_client(base_url: str, **options: Any) -> httpx.AsyncClient:
    """A client that has the server's key; its paths are the server's own, such as ``/slots``."""
    headers = {"authorization": f"Bearer {local_api_key(base_url)}"}
    root = base_url.removesuffix("/v1")
    return httpx.AsyncClient(base_url=root, headers=headers, trust_env=False, **options)
