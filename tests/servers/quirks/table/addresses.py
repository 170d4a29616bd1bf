"""Another place than the base URL says: redirects, slashes, queries, a /v1 that is absent or doubled."""

from __future__ import annotations

from functools import partial
from typing import Any

import attrs

from tests.servers.quirks.quirk import Ask, Reply, quirk

_NOT_FOUND = Reply(status=404, answer={"detail": "Not Found"})


def _redirect(status: int, location: str, ask: Ask) -> Ask | Reply:
    if ask.path.startswith("/v1") and ask.method == "POST":
        return Reply(
            status=status, headers={"location": location.format(path=ask.path)}, answer=b""
        )
    return ask


for _status in (301, 302, 307, 308):
    quirk(
        f"a redirect by {_status}",
        kind="addresses",
        about="address",
        ask=partial(_redirect, _status, "https://mock{path}"),
        outcome="error",
        words="set the base URL to https://mock/v1",
    )
quirk(
    "a redirect to a slash",
    kind="addresses",
    about="address",
    ask=partial(_redirect, 307, "{path}/"),
    outcome="error",
    words="redirects to http://mock/v1/",
)


def _at(prefix: str, ask: Ask) -> Ask | Reply:
    """Everything at another place."""
    if not ask.path.startswith(prefix):
        return _NOT_FOUND
    return attrs.evolve(ask, path="/v1" + ask.path.removeprefix(prefix))


def _address(
    name: str, prefix: str, url: str, outcome: str = "same", words: str = "", **more: Any
) -> None:
    quirk(
        name,
        kind="addresses",
        about="address",
        ask=partial(_at, prefix),
        outcome=outcome,
        words=words,
        options={"url": url, **more},
    )


_address("a slash at the end", "/v1", "http://mock/v1/")
_address("slashes at the end", "/v1", "http://mock/v1///")
_address("another version", "/v3", "http://mock/v3")
_address("no version", "", "http://mock")
_address("a path in front", "/api/openai/v1", "http://mock/api/openai/v1")
_address("/v1 is absent", "/v1", "http://mock", "error", "usually ends in /v1")
_address("/v1 is doubled", "/v1", "http://mock/v1/v1", "error", "base URL")
_address("the whole path", "/v1", "http://mock/v1/completions", "error", "base URL")


def _with_query(ask: Ask) -> Ask | Reply:
    if ask.query != "api-version=2024-10-21":
        return Reply(status=404, answer={"error": {"code": "404", "message": "Resource not found"}})
    return ask


quirk(
    "a query",
    kind="addresses",
    about="address",
    ask=_with_query,
    options={"url": "http://mock/v1?api-version=2024-10-21"},
)
