"""A key by which OpenAI sends the requests of a prompt to the machine that has it in its cache.

Other servers find a common beginning by themselves (vLLM, SGLang, llama.cpp), or have no such field.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from trio_beam.core.prompt import Prompt

_FIELD = "prompt_cache_key"
#: Bytes of a prompt by which prompts are told apart.
_BEGINNING = 2048
#: Hosts that take the field; others may refuse what they do not know.
_HOSTS = ("api.openai.com", ".openai.azure.com")


def cache_key(base_url: str, prompt: Prompt, fields: Mapping[str, Any]) -> dict[str, str]:
    """Return the field for all requests of a prompt, the same in each search; nothing where it is no use.

    Args:
        base_url: of the server.
        prompt: of the search.
        fields: of the caller, which may have a key of their own.
    """
    host = urlsplit(base_url).hostname or ""
    if _FIELD in fields or not host.endswith(_HOSTS):
        return {}
    # Its beginning, so that a judge asked about one prompt has one key too: questions differ at the end.
    content = msgspec.json.encode([prompt.text, prompt.messages])[:_BEGINNING]
    return {_FIELD: hashlib.sha256(content).hexdigest()[:32]}
