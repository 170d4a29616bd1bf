"""Read what a server's headers say about its limits on requests and tokens. Pure.

Known are the headers of OpenAI and those who have copied them (``x-ratelimit-limit-requests``,
``-remaining-``, ``-reset-``; Azure's have seconds without a unit, and -1 where there is no limit),
Anthropic's (``anthropic-ratelimit-requests-limit``, with a time as reset), and the drafts of the IETF
(``ratelimit-limit``, ``ratelimit: "default";r=50;t=30``). A limit without a period is one per minute, as
these services document it; one on unnamed things is not, since it may be per second.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from trio_beam.dialects.common.waits import reset_after

#: The words of a header's name, behind ``ratelimit``.
_FIELDS = {"limit", "remaining", "reset"}
_KINDS: dict[str, Literal["requests", "tokens"]] = {
    "requests": "requests",
    "req": "requests",
    "tokens": "tokens",
}
_MINUTE = {"minute", "min", "1m"}
_OTHER_PERIODS = {"second", "hour", "day", "month"}
_NAME = re.compile(r"(?:^|-)rate-?limit(?:-|$)")
#: The draft's parameters: remaining and seconds, in one field.
_DRAFT = re.compile(r"\b(remaining|reset|r|t)=(\d+)")
_DRAFT_FIELDS = {"remaining": "remaining", "r": "remaining", "reset": "reset", "t": "reset"}


class Quota(NamedTuple):
    """One limit of a server, as its headers state it.

    Attributes:
        kind: what is limited.
        limit: per minute; None if it does not say so.
        remaining: what is left; None if it does not say.
        reset: seconds until there is more; 0 if it does not say.
    """

    kind: Literal["requests", "tokens"]
    limit: int | None
    remaining: int | None
    reset: float


def read_quotas(headers: Iterable[tuple[bytes, bytes]], now: float) -> list[Quota]:
    """Return what the headers of a response say, a quota for each limit.

    Args:
        headers: as they came, with names in any case.
        now: seconds since 1970, for a reset that is a time.
    """
    said: dict[tuple[str, str], dict[str, str]] = {}
    for name, value in headers:
        for kind, period, field, text in _read(
            name.lower().decode("latin-1"), value.decode("latin-1")
        ):
            said.setdefault((kind, period), {})[field] = text
    return [
        quota
        for (kind, period), fields in said.items()
        if (quota := _quota(kind, period, fields, now)) is not None
    ]


def _read(name: str, value: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield the kind, the period, the field and the value of each limit of which a header speaks."""
    found = _NAME.search(name)
    if found is None:
        return
    words = set(filter(None, name[found.end() :].split("-")))
    if not words:
        for word, text in _DRAFT.findall(value):
            yield "", "", _DRAFT_FIELDS[word], text
        return
    field, kind = words & _FIELDS, words & _KINDS.keys()
    period = words & (_MINUTE | _OTHER_PERIODS)
    # Other words: a part of the tokens (input, cached), a project, images.
    if len(field) == 1 and len(kind) < 2 and not words - field - kind - period:
        yield "".join(sorted(kind)), "".join(sorted(period)), field.pop(), value


def _quota(kind: str, period: str, fields: dict[str, str], now: float) -> Quota | None:
    limit, remaining = (_whole(fields.get(name, "")) for name in ("limit", "remaining"))
    reset = reset_after(fields.get("reset", ""), now) or 0.0
    if not kind or period in _OTHER_PERIODS or not limit:
        limit = None
    if limit is None and (remaining is None or reset <= 0):
        return None
    return Quota(_KINDS.get(kind, "requests"), limit, remaining, reset)


def _whole(text: str) -> int | None:
    """Parse a number from 0 up; a server without limits says -1."""
    # The draft's list has its windows behind the number: "10, 10;w=1".
    first = text.partition(",")[0].partition(";")[0].strip().removesuffix(".0")
    return int(first) if first.isascii() and first.isdigit() and len(first) < 16 else None
