"""What an answer with an error status means, for all dialects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from trio_beam.errors import (
    ContextOverflow,
    EndpointError,
    RateLimited,
    RequestRejected,
    ServerError,
)

_MOST_WORDS = 500
_CONTEXT_CODES = frozenset({"exceed_context_size_error", "context_length_exceeded"})
_CONTEXT_WORDS = re.compile(
    r"maximum context length|context (size|length|window)|input_tokens", re.IGNORECASE
)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HINTS = {
    401: "is the API key right?",
    403: "is the API key allowed to do this?",
    404: "is the base URL right (it usually ends in /v1), and the model's name?",
    405: "is the base URL right? It usually ends in /v1",
}


def error_of(
    status: int, headers: Mapping[str, str], body: bytes, *, url: str, now: float
) -> EndpointError:
    """The error that an answer stands for, with the server's own words.

    Args:
        status: HTTP status, anything but 2xx.
        headers: lower-case names.
        body: as it came.
        url: where the request went.
        now: seconds since 1970, to read a date in ``Retry-After``.
    """
    words, codes = _read(body)
    message = f"HTTP {status}: {words}" if words else f"HTTP {status} without a word"
    if status == 429:
        return RateLimited(message, url=url, retry_after=retry_after(headers, now))
    if status >= 500:
        return ServerError(message, url=url, status=status, retry_after=retry_after(headers, now))
    if status in _REDIRECTS:
        target = _short(headers.get("location", "another place"))
        return RequestRejected(
            f"HTTP {status}: redirects to {target}; use that as the base URL",
            url=url,
            status=status,
        )
    if codes & _CONTEXT_CODES or (status in (400, 413) and _CONTEXT_WORDS.search(words)):
        return ContextOverflow(message, url=url, status=status)
    if status in _HINTS:
        message += f" ({_HINTS[status]})"
    return RequestRejected(message, url=url, status=status)


def describe(body: bytes) -> str:
    """The beginning of a body that is not what it should be, on one line."""
    text = " ".join(body.decode("utf-8", "replace").split())
    return text if len(text) <= 200 else text[:200] + "..."


def _read(body: bytes) -> tuple[str, set[str]]:
    """(the server's words, its machine-readable codes) from any of the shapes in use."""
    try:
        return _words_of(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return describe(body), set()


def _words_of(answer: Any) -> tuple[str, set[str]]:
    error = answer.get("error", answer) if isinstance(answer, dict) else answer
    if not isinstance(error, dict):
        return _short(error), set()
    words = error.get("message") or error.get("detail") or error.get("error") or error
    return _short(words), {str(error[key]) for key in ("code", "type") if key in error}


def shorten(text: str) -> str:
    """A text of a server's, short enough for a message."""
    return text if len(text) <= _MOST_WORDS else text[:_MOST_WORDS] + "..."


def _short(words: Any) -> str:
    return shorten(words if isinstance(words, str) else msgspec.json.encode(words).decode())


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that a server asks to wait, from ``Retry-After`` (RFC 9110, 10.2.3).

    Args:
        headers: of the answer, lower-case names.
        now: seconds since 1970, for a date where the answer carries no ``Date`` of its own.
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.replace(".", "", 1).isdigit():
        return float(value)
    until = _timestamp(value)
    if until is None:
        return None
    # The server's own clock, where it shows it: ours may be off.
    return max(0.0, until - (_timestamp(headers.get("date", "")) or now))


def _timestamp(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    # An HTTP date is always in UTC; its oldest form does not say so.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
