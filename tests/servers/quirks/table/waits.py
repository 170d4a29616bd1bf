"""A wait that a server asks for, in every spelling. Each is of a request's first attempt."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.servers.quirks.quirk import Ask, Reply, quirk

_DATE = "Wed, 21 Oct 2015 07:28:00 GMT"
_BUSY = {"error": {"message": "Rate limit reached"}}


def _says(words: str) -> dict[str, Any]:
    return {"error": {"message": words}}


#: By what is said: (seconds, status, headers, body).
WAITS: dict[str, tuple[float, int, dict[str, str], Any]] = {
    "retry-after in seconds": (7, 429, {"retry-after": "7"}, _BUSY),
    "retry-after as a fraction": (7.5, 429, {"retry-after": "7.5"}, _BUSY),
    "retry-after with a unit": (7, 429, {"retry-after": "7s"}, _BUSY),
    "retry-after as a date": (
        60,
        429,
        {"retry-after": "Wed, 21 Oct 2015 07:29:00 GMT", "date": _DATE},
        _BUSY,
    ),
    "retry-after of a 503": (7, 503, {"retry-after": "7"}, b"Service Unavailable"),
    "retry-after of a 529": (
        7,
        529,
        {"retry-after": "7"},
        {"type": "error", "error": {"type": "overloaded_error"}},
    ),
    "retry-after of a 500": (7, 500, {"retry-after": "7"}, _BUSY),
    "retry-after of a 403": (7, 403, {"retry-after": "7"}, _says("API rate limit exceeded")),
    "retry-after of a 400": (
        7,
        400,
        {"retry-after": "7"},
        {"__type": "ThrottlingException", "message": "Too many requests"},
    ),
    "milliseconds": (7.25, 429, {"retry-after-ms": "7250"}, _BUSY),
    "Azure's milliseconds": (7.25, 429, {"x-ms-retry-after-ms": "7250"}, _BUSY),
    "a reset": (
        6.5,
        429,
        {"x-ratelimit-reset-requests": "6.5s", "x-ratelimit-remaining-requests": "0"},
        _BUSY,
    ),
    "a reset in minutes": (66, 429, {"x-ratelimit-reset-tokens": "1m6s"}, _BUSY),
    "a reset in ms": (0.8, 429, {"x-ratelimit-reset-tokens": "800ms"}, _BUSY),
    "a reset as a time": (60, 429, {"x-ratelimit-reset": "1445412540", "date": _DATE}, _BUSY),
    "a reset as a time in ms": (
        60,
        429,
        {"x-ratelimit-reset": "1445412540000", "date": _DATE},
        _BUSY,
    ),
    "a reset as an ISO time": (
        60,
        429,
        {"anthropic-ratelimit-requests-reset": "2015-10-21T07:29:00Z", "date": _DATE},
        _BUSY,
    ),
    "the draft's reset": (
        9,
        429,
        {"ratelimit-limit": "10", "ratelimit-remaining": "0", "ratelimit-reset": "9"},
        _BUSY,
    ),
    "the draft's one field": (9, 429, {"ratelimit": "limit=10, remaining=0, reset=9"}, _BUSY),
    "the draft's list": (9, 429, {"ratelimit": '"default";r=0;t=9'}, _BUSY),
    "try again in": (
        62.5,
        429,
        {},
        _says("Limit 100, Used 99. Please try again in 1m2.5s. Visit us."),
    ),
    "try again in ms": (0.7, 429, {}, _says("Rate limit reached. Please try again in 700ms.")),
    "retry after": (20, 429, {}, _says("Requests exceeded. Please retry after 20 seconds.")),
    "wait before": (20, 429, {}, {"message": "Please wait 20 seconds before retrying"}),
    "wait for": (120, 429, {}, {"detail": "Too many requests, wait for 2 minutes"}),
    "try again later": (
        5,
        429,
        {},
        {"detail": "Request was throttled. Expected available in 5 seconds."},
    ),
    "resets in": (5, 429, {}, {"error": "Quota used up, resets in 5s"}),
    "cooldown": (
        5,
        429,
        {},
        {"error": {"message": "No deployments available. Try again in 5 seconds. Passed model=m."}},
    ),
    "without an adverb": (5, 429, {}, _says("Try again after 5 s")),
    "retryDelay": (
        14,
        429,
        {},
        {
            "error": {
                "code": 429,
                "details": [
                    {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "14s"}
                ],
            }
        },
    ),
    "retry_after": (14, 429, {}, {"error": {"message": "slow down", "retry_after": 14}}),
    "retry_after_seconds": (14, 429, {}, {"message": "slow down", "retry_after_seconds": 14.0}),
    "retry_after_ms": (1.4, 429, {}, {"message": "slow down", "retry_after_ms": 1400}),
    "a model that loads": (
        20,
        503,
        {},
        {"error": "Model m is currently loading", "estimated_time": 20.0},
    ),
    "in a 200": (3.2, 200, {}, {"error": {"code": 429, "message": "Please try again in 3.2s."}}),
    "a header in a 200": (
        4,
        200,
        {"retry-after": "4"},
        {"error": {"code": 429, "message": "slow down"}},
    ),
}


def _wait(status: int, headers: dict[str, str], answer: Any, ask: Ask) -> Ask | Reply:
    if ask.completes and not ask.repeat:
        return Reply(status=status, headers=headers, answer=answer)
    return ask


for _name, (_, _status, _headers, _answer) in WAITS.items():
    quirk(
        f"wait by {_name}",
        kind="waits",
        about="wait",
        ask=partial(_wait, _status, _headers, _answer),
        passes=True,
    )
