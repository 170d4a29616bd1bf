"""Counts of an endpoint's work."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class EndpointStatistics:
    """Counts of an endpoint's current and past work.

    Attributes:
        in_flight: requests that hold a slot.
        waiting: requests that wait for a slot or for the rate.
        limit: current maximum number of requests in flight.
        requests_per_minute, tokens_per_minute: current limits, given or learnt; None: there is none.
        attempts: requests sent so far, including retries and hedges.
        retries: attempts that repeated a failed one.
        hedges: attempts sent because another had no response yet.
        cancelled: attempts abandoned before their response was complete.
        cached: responses from the cache, which are not among the attempts.
        open_connections: open sockets, including idle ones; None with your own ``http_client``.
        unasked: connections closed because unrequested bytes arrived, since the endpoint was opened; None
            with your own ``http_client``.
    """

    in_flight: int
    waiting: int
    limit: int
    attempts: int
    retries: int
    hedges: int
    cancelled: int
    cached: int
    open_connections: int | None
    unasked: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
