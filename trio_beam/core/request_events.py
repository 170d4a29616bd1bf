"""The base of all events, and the events about requests, as a language model reports them; frozen data."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import attrs

from trio_beam.errors import EndpointError


@attrs.frozen(kw_only=True)
class SearchEvent:
    """Something that happens to a search.

    Attributes:
        index: in `search_many`, the place of the search's prompt, from 0; 0 for a search by itself.
    """

    index: int = 0


@attrs.frozen(kw_only=True)
class RequestRetried(SearchEvent):
    """A request failed and will be sent again.

    Attributes:
        error: why it failed.
        attempt: how many times it has been sent.
        attempts: how many times it may be sent.
        wait: seconds until the next attempt.
    """

    error: EndpointError
    attempt: int
    attempts: int
    wait: float


@attrs.frozen(kw_only=True)
class RequestHedged(SearchEvent):
    """A request has had no response for `after` seconds and was sent once more."""

    after: float


@attrs.frozen(kw_only=True)
class EndpointPaused(SearchEvent):
    """A server asked for a pause of `seconds`; no request of any search is sent meanwhile."""

    seconds: float
    error: EndpointError


@attrs.frozen(kw_only=True)
class LimitChanged(SearchEvent):
    """With ``max_concurrent="auto"``: the endpoint has found another limit, for all searches.

    Attributes:
        limit: the new maximum of requests in flight.
        before: the previous one.
    """

    limit: int
    before: int


RequestEvent: TypeAlias = RequestRetried | RequestHedged | EndpointPaused | LimitChanged
RequestObserver: TypeAlias = Callable[[RequestEvent], None]
