"""The base of all events, and the events a language model reports about requests, as frozen data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import attrs

from trio_beam.errors import EndpointError


@attrs.frozen(kw_only=True)
class SearchEvent:
    """The base of all events.

    Attributes:
        index: position of the search's prompt in `search_many`, from 0; 0 for a single search.
    """

    index: int = 0


@attrs.frozen(kw_only=True)
class RequestRetried(SearchEvent):
    """A request failed and will be sent again.

    Attributes:
        error: why it failed.
        attempt: number of attempts so far.
        attempts: maximum number of attempts.
        wait: seconds until the next attempt.
    """

    error: EndpointError
    attempt: int
    attempts: int
    wait: float


@attrs.frozen(kw_only=True)
class RequestHedged(SearchEvent):
    """A request without a response was sent again, while the first attempt goes on.

    Attributes:
        after: seconds since the request was sent.
    """

    after: float


@attrs.frozen(kw_only=True)
class EndpointPaused(SearchEvent):
    """A server asked for a pause, during which no search sends requests.

    Attributes:
        seconds: length of the pause.
        error: the response that asked for it.
    """

    seconds: float
    error: EndpointError


@attrs.frozen(kw_only=True)
class RatePaused(SearchEvent):
    """Requests of this search wait, so that the endpoint keeps to its rate; told once for each pause.

    Attributes:
        seconds: until the next request of the endpoint, if nothing changes.
        limit: the limit per minute that is reached: ``"requests"`` or ``"tokens"``.
    """

    seconds: float
    limit: Literal["requests", "tokens"]


@attrs.frozen(kw_only=True)
class LimitChanged(SearchEvent):
    """With ``max_concurrent="auto"``, the endpoint changed its limit for all searches.

    Attributes:
        limit: new maximum number of requests in flight.
        before: previous maximum.
    """

    limit: int
    before: int


RequestEvent: TypeAlias = (
    RequestRetried | RequestHedged | EndpointPaused | RatePaused | LimitChanged
)
RequestObserver: TypeAlias = Callable[[RequestEvent], None]
