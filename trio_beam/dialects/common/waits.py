"""Read how long a server asks clients to wait, in every common notation. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

#: A reset value above this (2001) is a timestamp, not a number of seconds.
_EPOCH = 1e9
_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?\s*(?:ms|s|m|h|d)?\s*)+")
#: "Please try again in 1m3.2s", "Retry after 20 seconds", "wait 700ms", "available in 5 seconds".
_WORDS = re.compile(
    r"(?:try again|retry(?:ing)?|wait|available|resets?)\b[^.\d]{0,30}?\b"
    r"((?:\d+(?:\.\d+)?\s*(?:milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h)(?![a-z])\s*)+)",
    re.IGNORECASE,
)
#: The fields of the IETF's drafts: "limit=10, remaining=0, reset=9" and "default";r=0;t=9.
_DRAFT = re.compile(r"\b(?:reset|t)=(\d+)")
#: Names of members of a body, without what joins their words.
_SECONDS_NAMES = frozenset(
    {
        "retrydelay",
        "retryafter",
        "retryafterseconds",
        "waitseconds",
        "resetsinseconds",
        "estimatedtime",
    }
)
_LONG_UNITS = re.compile(
    r"(?P<ms>milliseconds?)|(?P<s>seconds?|secs?)|(?P<m>minutes?|mins?)|(?P<h>hours?|hrs?)",
    re.IGNORECASE,
)


def asked_wait(headers: Mapping[str, str], body: Any, now: float) -> float | None:
    """Return the seconds that a response asks the client to wait, or None.

    Sources in order: ``retry-after-ms`` and ``Retry-After`` (RFC 9110, 10.2.3); ``RetryInfo`` or
    ``retry_after`` in the body; ``...ratelimit-reset...`` headers of exhausted limits; the message
    ("try again in 3.2s").

    Args:
        headers: of the response, lower-case names.
        body: decoded JSON, or text.
        now: seconds since 1970, used if the response has no ``Date``.
    """
    clock = _timestamp(headers.get("date", "")) or now
    for found in (
        *(_milliseconds(text) for name, text in headers.items() if name.endswith("retry-after-ms")),
        _after(headers.get("retry-after", ""), clock),
        *_in_body(body),
        _reset(headers, clock),
        *_in_words(body),
    ):
        if found is not None:
            return max(0.0, found)
    return None


def reset_after(text: str, clock: float) -> float | None:
    """Return the seconds until the reset that a header names: seconds, a duration, a date or a timestamp.

    Args:
        text: the header's value.
        clock: seconds since 1970.
    """
    seconds = _seconds(text)
    if seconds is None:
        until = _timestamp(text)
        return None if until is None else until - clock
    if seconds > _EPOCH:  # a timestamp, in seconds or milliseconds
        return (seconds if seconds < _EPOCH * 100 else seconds / 1000) - clock
    return seconds


def _milliseconds(text: str) -> float | None:
    number = _number(text)
    return None if number is None else number / 1000


def _after(text: str, clock: float) -> float | None:
    """Parse seconds, a duration or a date."""
    seconds = _seconds(text)
    if seconds is not None:
        return seconds
    until = _timestamp(text)
    return None if until is None else until - clock


def _in_body(body: Any) -> Iterator[float | None]:
    """Yield waits from a google.rpc.RetryInfo or members such as ``retry_after``, at any depth."""
    if isinstance(body, Mapping):
        for name, value in body.items():
            plain = str(name).replace("_", "").replace("-", "").lower()
            if plain in _SECONDS_NAMES:
                yield _seconds(str(value))
            elif plain == "retryafterms":
                yield _milliseconds(str(value))
            else:
                yield from _in_body(value)
    elif isinstance(body, list):
        for value in body:
            yield from _in_body(value)


def _reset(headers: Mapping[str, str], clock: float) -> float | None:
    """Return the longest reset of the exhausted limits, or the shortest of all if none is exhausted."""
    used_up: list[float] = []
    others: list[float] = []
    for name, value in headers.items():
        if name == "ratelimit":
            others += [float(number) for number in _DRAFT.findall(value)]
        if "ratelimit" not in name or "reset" not in name:
            continue
        seconds = reset_after(value, clock)
        if seconds is not None:
            left = _number(headers.get(name.replace("reset", "remaining"), ""))
            (used_up if left == 0 else others).append(seconds)
    if used_up:
        return max(used_up)
    return min(others, default=None)


def _in_words(body: Any) -> Iterator[float | None]:
    if isinstance(body, Mapping):
        for value in body.values():
            yield from _in_words(value)
    elif isinstance(body, list):
        for value in body:
            yield from _in_words(value)
    elif isinstance(body, str) and (found := _WORDS.search(body)):
        yield _seconds(_LONG_UNITS.sub(lambda unit: unit.lastgroup or "", found[1]))


def _seconds(text: str) -> float | None:
    """Parse a number of seconds, or a duration such as ``6m0s``, ``20ms`` or ``1h3m2.5s``."""
    text = text.strip()
    if not text.isascii() or not _DURATION.fullmatch(text):
        return None
    total = 0.0
    for number, unit in _PART.findall(text):
        total += float(number) * _UNITS[unit or "s"]
    return total


def _number(text: str) -> float | None:
    text = text.strip()
    return float(text) if text.isascii() and text.replace(".", "", 1).isdigit() else None


def _timestamp(text: str) -> float | None:
    """Parse an HTTP date or an ISO time to seconds since 1970."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None
    # HTTP dates are in UTC, although the oldest format does not say so.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
