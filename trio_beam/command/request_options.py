"""``--header`` and ``--extra-body``: the parts of every request that a user adds."""

from __future__ import annotations

import json
from typing import Any

from trio_beam.errors import ConfigError


def parse_header(text: str) -> tuple[str, str]:
    """Split ``Name: value``; the endpoint checks whether HTTP allows them.

    Raises:
        ConfigError: there is no colon. The message does not repeat the text, which may be a secret.
    """
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise ConfigError("--header", "a name and a value, as in 'X-Title: my run'", "***")
    return name.strip(), value.strip()


def parse_body(text: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ConfigError: it is none.
    """
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        bound = """a JSON object, as in '{"reasoning_effort": "low"}'"""
        raise ConfigError("--extra-body", bound, text)
    return body
