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
class RequestOrigin:
    """The purpose of a request.

    Attributes:
        round: number of the round (of the block, for a chain), from 1; 0 before the first.
        purpose: ``"prepare"`` before the first round, then the purpose of the round.
        rank: rank of the beam in the round, or number of the chain, from 0.
        sample: the first of the beam's samples that are asked for, from 0.
    """

    round: int = 0
    purpose: Literal["prepare", "expand", "rollout", "judge", "reward", "move"] = "prepare"
    rank: int = 0
    sample: int = 0


BEFORE_ROUNDS = RequestOrigin()


@attrs.frozen(kw_only=True)
class RequestWaiting(SearchEvent):
    """A request has to wait for a free slot, for the endpoint's rate, or for the end of a pause.

    Attributes:
        request: number of the request in this process, from 1; an endpoint's requests about one beam may be
            several, and each may take several attempts.
        origin: what the request is for.
        paused: whether it waits for the end of a pause that the server asked for.
    """

    request: int
    origin: RequestOrigin = BEFORE_ROUNDS
    paused: bool = False


@attrs.frozen(kw_only=True)
class RequestSent(SearchEvent):
    """An attempt of a request is about to be sent.

    Attributes:
        request: number of the request, as in `RequestWaiting`.
        origin: what the request is for.
        attempt: number of the attempt, from 1; hedges count.
        hedge: whether an earlier attempt is still under way.
        waited: seconds that it waited for a slot, the rate or a pause.
        path: of its URL, as in ``"/completions"``; it begins at the base URL or at the server's root.
    """

    request: int
    origin: RequestOrigin = BEFORE_ROUNDS
    attempt: int = 1
    hedge: bool = False
    waited: float = 0.0
    path: str = ""


@attrs.frozen(kw_only=True)
class RequestEnded(SearchEvent):
    """An attempt of a request has ended.

    Attributes:
        request: number of the request, as in `RequestWaiting`.
        origin: what the request is for.
        attempt: number of the attempt, as in `RequestSent`.
        outcome: ``"response"``, ``"error"``, or ``"cancelled"``: because of a sibling, from outside, or
            because the other attempt of a hedge was faster.
        seconds: since it was sent.
        error: the error, if that is how it ended.
    """

    request: int
    origin: RequestOrigin = BEFORE_ROUNDS
    attempt: int = 1
    outcome: Literal["response", "error", "cancelled"] = "response"
    seconds: float = 0.0
    error: EndpointError | None = None


@attrs.frozen(kw_only=True)
class RequestRetried(SearchEvent):
    """A request failed and will be sent again.

    Attributes:
        request: number of the request, as in `RequestWaiting`; 0 if unknown.
        origin: what the request is for.
        error: why it failed.
        attempt: number of attempts so far.
        attempts: maximum number of attempts.
        wait: seconds until the next attempt.
    """

    request: int = 0
    origin: RequestOrigin = BEFORE_ROUNDS
    error: EndpointError
    attempt: int
    attempts: int
    wait: float


@attrs.frozen(kw_only=True)
class RequestHedged(SearchEvent):
    """A request without a response was sent again, while the first attempt goes on.

    Attributes:
        request: number of the request, as in `RequestWaiting`; 0 if unknown.
        origin: what the request is for.
        after: seconds since the request was sent.
    """

    request: int = 0
    origin: RequestOrigin = BEFORE_ROUNDS
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
    RequestWaiting
    | RequestSent
    | RequestEnded
    | RequestRetried
    | RequestHedged
    | EndpointPaused
    | RatePaused
    | LimitChanged
)
RequestObserver: TypeAlias = Callable[[RequestEvent], None]
