"""Parse ``--header`` and ``--extra-body``, the user's additions to every request."""

from __future__ import annotations

import json
from typing import Any

from trio_beam.errors import ConfigError


def parse_header(text: str) -> tuple[str, str]:
    """Split ``Name: value``; the endpoint checks whether HTTP allows it.

    Raises:
        ConfigError: there is no colon. The message omits the text, which may be a secret.
    """
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise ConfigError("--header", "a name and a value, as in 'X-Title: my run'", "***")
    return name.strip(), value.strip()


def parse_body(text: str, option: str = "--extra-body") -> dict[str, Any]:
    """Read a JSON object from the value of an option.

    Raises:
        ConfigError: the text is not a JSON object.
    """
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        bound = """a JSON object, as in '{"reasoning_effort": "low"}'"""
        raise ConfigError(option, bound, text)
    return body
